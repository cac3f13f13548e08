// Which benchmarks at which shapes: the words of the command line made into a list.
#pragma once
#include <string>
#include <vector>

#include "bench/registry.h"

namespace swath::bench {

/// A benchmark with the values of its axes; every combination is a shape.
struct Plan {
  explicit Plan(const Benchmark& what) : benchmark(&what), axes(what.axes) {}

  const Benchmark* benchmark;
  std::vector<Axis> axes;

  bool has_axis(const std::string& name) const;
  std::vector<Sizes> shapes() const;
  /// The one shape at which the simulator counts.
  Sizes counted_shape() const;
};

/// "rows=112,512,2048": an axis and its values.
struct AxisValues {
  std::string axis;
  std::vector<std::int64_t> values;
};
/// Throws UserError for what is not NAME=NUMBER,NUMBER,…
AxisValues parse_axis(const std::string& text);

/// Throws UserError when the benchmark has no such axis (with the nearest one) or a value is out of its range.
void set_axis(Plan& plan, const AxisValues& given);

/// A word of the command line, in its order.
struct PlanWord {
  enum class Kind : std::uint8_t { benchmark, axis } kind;
  std::string text;
};
/// An axis belongs to the benchmark named before it; in front of all it belongs to every benchmark that has it. Without a
/// benchmark all are meant. Throws UserError for names that do not exist.
std::vector<Plan> plans_of(const std::vector<PlanWord>& words);

}  // namespace swath::bench
