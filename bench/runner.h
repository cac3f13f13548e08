// Runs plans on a device, and the results as text and JSON.
#pragma once
#include <optional>

#include "bench/measure.h"
#include "bench/peaks.h"
#include "bench/plan.h"
#include "engine/core/config.h"

namespace swath::bench {

struct Measurement {
  Mode mode = Mode::batched;
  Times times;
};

/// One shape of one benchmark on one device.
struct State {
  Sizes sizes;
  Cost cost;
  std::size_t extra_bytes = 0;  // outputs, workspace and, on the CPU, what the call took from the system
  std::vector<Measurement> measurements{};
  std::string skip_reason;  // why there are no measurements; empty where there are
};

/// Seconds that the work would take at the device's peaks, and which peak that is.
struct Bound {
  double seconds = 0;
  bool by_memory = true;
};
Bound bound_of(const Cost& cost, const Peaks& peaks);

struct RunSettings {
  Limits limits;
  std::vector<Mode> modes;
  std::string skip_times;  // not empty: run each once, no times, for this reason
};
State run_shape(Device& device, const Plan& plan, const Sizes& sizes, Timer& timer, const RunSettings& settings);

/// What the results were measured on.
struct DeviceFacts {
  std::string name, title;
  int threads = 0;  // of the CPU kernels
  bool simulated = false;
  Peaks peaks{};
};
/// Two lines about the device and its peaks; how many of them are known.
std::string header_of(const DeviceFacts& facts);
std::string table_head();
/// One line per measurement.
std::string rows_of(const Benchmark& benchmark, const State& state, const Peaks& peaks);

/// The object that --json prints: nvbench's fields, with those of this program under tags that begin with swath/.
Json json_of(const DeviceFacts& facts);
Json json_of(const Plan& plan, const Limits& limits);
Json json_of(const State& state, const DeviceFacts& facts);

}  // namespace swath::bench
