#include "bench/runner.h"

#include <fstream>

namespace swath::bench {

namespace {

/// A number of /proc/self/status in bytes; 0 where the system has no such file.
std::size_t status_bytes(const std::string& field) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(field + ":")) return static_cast<std::size_t>(std::stoull(line.substr(field.size() + 1))) * 1024;
  return 0;
}

/// By how much f raised the peak of the process's resident memory.
template <class F>
std::size_t peak_growth(const F& f) {
  // Writing 5 sets the peak back to what is resident now.
  if (std::ofstream reset("/proc/self/clear_refs"); !(reset << 5 << std::flush)) {
    f();
    return 0;
  }
  const std::size_t before = status_bytes("VmRSS");
  f();
  const std::size_t peak = status_bytes("VmHWM");
  return peak > before ? peak - before : 0;
}

constexpr const char* kRow = "{:<26} {:<34} {:<8} {:>8} {:>11} {:>7} {:>8} {:>9} {:>8} {:>7} {:>9}\n";

Json summary(const std::string& tag, const std::string& name, double value, const char* hint = nullptr) {
  Json json{{"tag", tag}, {"name", name}};
  if (hint) json["hint"] = hint;
  json["data"] = Json::array({{{"name", "value"}, {"type", "float64"}, {"value", fmt::format("{}", value)}}});
  return json;
}

void add_summaries(Json& summaries, const Measurement& measured, const State& state, const DeviceFacts& facts) {
  const Times& times = measured.times;
  const std::string mode = measured.mode == Mode::cold ? "cold" : "batch";
  const std::string clock = facts.name == "cpu" ? "cpu" : "gpu", nv = "nv/" + mode, own = "swath/" + mode;
  const auto add = [&](const std::string& tag, const std::string& name, double value, const char* hint = nullptr) {
    summaries.push_back(summary(tag, name, value, hint));
  };
  add(nv + "/sample_size", "Samples", static_cast<double>(times.samples), "sample_size");
  add(nv + "/time/" + clock + "/mean", "Mean", times.mean, "duration");
  add(nv + "/time/" + clock + "/stdev/relative", "Standard deviation", times.deviation / 100, "percentage");
  add(own + "/time/median", "Median", times.median, "duration");
  add(own + "/time/low", "Lower end of the median's interval", times.low, "duration");
  add(own + "/time/high", "Upper end of the median's interval", times.high, "duration");
  add(own + "/time/fastest", "Fastest", times.fastest, "duration");
  add(own + "/noise", "Noise", times.noise / 100, "percentage");
  add(own + "/calls_per_sample", "Calls per sample", static_cast<double>(times.batch));
  add(nv + "/bw/global/bytes_per_second", "Bandwidth", state.cost.bytes / times.median, "byte_rate");
  add(own + "/flops_per_second", "Operations", state.cost.flops / times.median);
  const Bound bound = bound_of(state.cost, facts.peaks);
  if (bound.seconds > 0)
    add(own + (bound.by_memory ? "/share_of_memory_bound" : "/share_of_compute_bound"), "Share of the bound",
        bound.seconds / times.median, "percentage");
}

}  // namespace

Bound bound_of(const Cost& cost, const Peaks& peaks) {
  const double memory = peaks.bandwidth > 0 ? cost.bytes / peaks.bandwidth : 0;
  const double compute = peaks.flops > 0 ? cost.flops / peaks.flops : 0;
  return memory >= compute ? Bound{memory, true} : Bound{compute, false};
}

State run_shape(Device& device, const Plan& plan, const Sizes& sizes, Timer& timer, const RunSettings& settings) {
  Arena arena(device);
  const Job job = plan.benchmark->prepare(arena, sizes);
  State state{.sizes = sizes, .cost = job.cost, .extra_bytes = arena.scratch_bytes(), .skip_reason = settings.skip_times};
  const auto first_call = [&] {
    job.run();
    device.synchronize();
  };
  if (device.is_cuda()) {
    first_call();
  } else {
    state.extra_bytes += peak_growth(first_call);
  }
  if (settings.skip_times.empty())
    for (const Mode mode : settings.modes) state.measurements.push_back({mode, measure(timer, job, mode, settings.limits)});
  return state;
}

std::string header_of(const DeviceFacts& facts) {
  std::string text = fmt::format("{}: {}", facts.name, facts.title);
  if (facts.threads > 0) text += fmt::format(", {} threads", facts.threads);
  text += "\n";
  if (facts.simulated)
    return text + "a simulator runs the device code: every case runs once, and its time would mean nothing\n";
  if (facts.peaks.bandwidth > 0)
    text += fmt::format("peak: {:.1f} GB/s ({}), {:.1f} GFLOP/s ({})\n", facts.peaks.bandwidth * 1e-9,
                        facts.peaks.bandwidth_source, facts.peaks.flops * 1e-9, facts.peaks.flops_source);
  return text;
}

std::string table_head() {
  return fmt::format(fmt::runtime(kRow), "benchmark", "shape", "mode", "samples", "median", "noise", "GB/s", "GFLOP/s", "bound",
                     "share", "extra MiB");
}

std::string rows_of(const Benchmark& benchmark, const State& state, const Peaks& peaks) {
  const std::string shape = state.sizes.text();
  const std::string extra = fmt::format("{:.1f}", static_cast<double>(state.extra_bytes) / (1 << 20));
  if (state.measurements.empty())
    return fmt::format(fmt::runtime(kRow), benchmark.name, shape, "once", 0, "-", "-", "-", "-", "-", "-", extra);
  std::string text;
  const Bound bound = bound_of(state.cost, peaks);
  for (const auto& [mode, times] : state.measurements) {
    text += fmt::format(fmt::runtime(kRow), benchmark.name, shape, name_of(mode), times.samples, seconds_text(times.median),
                        fmt::format("{:.1f}%{}", times.noise, times.timed_out ? "!" : ""),
                        fmt::format("{:.2f}", state.cost.bytes / times.median * 1e-9),
                        state.cost.flops > 0 ? fmt::format("{:.2f}", state.cost.flops / times.median * 1e-9) : "-",
                        bound.seconds <= 0 ? "-" : (bound.by_memory ? "memory" : "compute"),
                        bound.seconds <= 0 ? "-" : fmt::format("{:.0f}%", 100 * bound.seconds / times.median), extra);
  }
  return text;
}

Json json_of(const DeviceFacts& facts) {
  Json json{{"id", 0}, {"name", facts.title}, {"device", facts.name}, {"simulated", facts.simulated}};
  if (facts.threads > 0) json["threads"] = facts.threads;
  if (facts.peaks.bandwidth > 0) {
    json["peak_bandwidth"] = facts.peaks.bandwidth;
    json["peak_bandwidth_source"] = facts.peaks.bandwidth_source;
  }
  if (facts.peaks.flops > 0) {
    json["peak_flops"] = facts.peaks.flops;
    json["peak_flops_source"] = facts.peaks.flops_source;
  }
  return json;
}

Json json_of(const Plan& plan, const Limits& limits) {
  Json json{{"name", plan.benchmark->name}, {"min_samples", limits.min_samples},
            {"min_time", limits.min_time},  {"max_noise", limits.max_noise / 100},
            {"timeout", limits.timeout},    {"devices", Json::array({0})},
            {"axes", Json::array()},        {"states", Json::array()}};
  for (const Axis& axis : plan.axes) {
    Json values = Json::array();
    for (const std::int64_t value : axis.values)
      values.push_back({{"input_string", std::to_string(value)}, {"description", ""}, {"value", value}});
    json["axes"].push_back({{"name", axis.name}, {"type", "int64"}, {"flags", ""}, {"values", values}});
  }
  return json;
}

Json json_of(const State& state, const DeviceFacts& facts) {
  Json json{{"name", "Device=0 " + state.sizes.text()}, {"description", state.sizes.text()}, {"device", 0}};
  json["axis_values"] = Json::array();
  for (const auto& [name, value] : state.sizes.sizes())
    json["axis_values"].push_back({{"name", name}, {"type", "int64"}, {"value", std::to_string(value)}});
  Json summaries = Json::array();
  summaries.push_back(summary("swath/bytes", "Bytes", state.cost.bytes, "bytes"));
  summaries.push_back(summary("swath/flops", "Operations of a call", state.cost.flops));
  summaries.push_back(
      summary("swath/extra_bytes", "Memory beside the inputs", static_cast<double>(state.extra_bytes), "bytes"));
  for (const Measurement& measured : state.measurements) add_summaries(summaries, measured, state, facts);
  json["summaries"] = summaries;
  json["is_skipped"] = state.measurements.empty();
  if (state.measurements.empty()) json["skip_reason"] = state.skip_reason;
  return json;
}

}  // namespace swath::bench
