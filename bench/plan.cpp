#include "bench/plan.h"

#include <algorithm>
#include <charconv>

#include "engine/core/config.h"

namespace swath::bench {

namespace {

void refuse_value(const Axis& axis, const std::string& benchmark, std::int64_t value) {
  const bool listed = std::find(axis.only.begin(), axis.only.end(), value) != axis.only.end();
  if (axis.only.empty() ? value >= axis.low && value <= axis.high : listed) return;
  throw UserError(fmt::format(
      "the axis {} of {} takes {}, not {}", axis.name, benchmark,
      axis.only.empty() ? fmt::format("{} to {}", axis.low, axis.high) : fmt::format("{}", fmt::join(axis.only, ", ")), value));
}

}  // namespace

bool Plan::has_axis(const std::string& name) const {
  return std::any_of(axes.begin(), axes.end(), [&](const Axis& axis) { return axis.name == name; });
}

std::vector<Sizes> Plan::shapes() const {
  std::vector<Sizes> shapes(1);
  for (const Axis& axis : axes) {
    std::vector<Sizes> longer;
    for (const Sizes& begun : shapes)
      for (const std::int64_t value : axis.values) {
        longer.push_back(begun);
        longer.back().set(axis.name, value);
      }
    shapes = std::move(longer);
  }
  return shapes;
}

Sizes Plan::counted_shape() const {
  Sizes sizes;
  for (const Axis& axis : axes) sizes.set(axis.name, axis.counted);
  return sizes;
}

AxisValues parse_axis(const std::string& text) {
  const auto malformed = [&] {
    return UserError(fmt::format("--axis {} must be an axis and whole numbers, for example rows=112,512", text));
  };
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) throw malformed();
  AxisValues parsed{text.substr(0, equals), {}};
  const char *at = text.data() + equals + 1, *end = text.data() + text.size();
  while (true) {
    std::int64_t value = 0;
    const auto [stop, error] = std::from_chars(at, end, value);
    if (error != std::errc() || (stop != end && *stop != ',')) throw malformed();
    parsed.values.push_back(value);
    if (stop == end) return parsed;
    at = stop + 1;
  }
}

void set_axis(Plan& plan, const AxisValues& given) {
  std::vector<std::string> names;
  for (Axis& axis : plan.axes) {
    names.push_back(axis.name);
    if (axis.name != given.axis) continue;
    for (const std::int64_t value : given.values) refuse_value(axis, plan.benchmark->name, value);
    axis.values = given.values;
    return;
  }
  const std::string nearest = nearest_name(given.axis, names);
  throw UserError(fmt::format(
      "{} has no axis {}; {}", plan.benchmark->name, given.axis,
      nearest.empty() ? fmt::format("it has {}", fmt::join(names, ", ")) : fmt::format("did you mean {}?", nearest)));
}

std::vector<Plan> plans_of(const std::vector<PlanWord>& words) {
  std::vector<AxisValues> everywhere;
  std::vector<Plan> plans;
  std::vector<std::pair<std::size_t, AxisValues>> own;
  for (const PlanWord& word : words) {
    if (word.kind == PlanWord::Kind::benchmark) {
      plans.emplace_back(find_benchmark(word.text));
    } else if (plans.empty()) {
      everywhere.push_back(parse_axis(word.text));
    } else {
      own.emplace_back(plans.size() - 1, parse_axis(word.text));
    }
  }
  if (plans.empty())
    for (const Benchmark& benchmark : benchmarks()) plans.emplace_back(benchmark);
  for (const AxisValues& given : everywhere) {
    bool taken = false;
    for (Plan& plan : plans) {
      if (!plan.has_axis(given.axis)) continue;
      set_axis(plan, given);
      taken = true;
    }
    if (!taken) set_axis(plans.front(), given);
  }
  for (const auto& [index, given] : own) set_axis(plans[index], given);
  return plans;
}

}  // namespace swath::bench
