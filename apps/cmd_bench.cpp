// swath bench: any kernel at any shape, timed on any device; and two results compared.
#include <fstream>

#include "apps/commands.h"
#include "bench/compare.h"
#include "bench/runner.h"
#include "bench/simulator.h"
#include "recipes/version.h"

namespace swath::app {

namespace {

struct BenchArgs {
  std::vector<std::string> benchmarks, axes;
  std::vector<std::string> modes;
  std::string device = "cpu", json_file;
  bench::Limits limits;
  double peak_bandwidth = 0, peak_flops = 0;  // GB/s, GFLOP/s
  bool list = false, profile = false, cpu_time = false;
  const CLI::App* command = nullptr;  // knows the order of --benchmark and --axis
};

/// The words of --benchmark and --axis in the order of the command line.
std::vector<bench::PlanWord> words_of(const BenchArgs& args) {
  std::vector<bench::PlanWord> words;
  std::size_t benchmark = 0, axis = 0;
  for (const CLI::Option* option : args.command->parse_order()) {
    if (option->check_name("--benchmark"))
      words.push_back({bench::PlanWord::Kind::benchmark, args.benchmarks.at(benchmark++)});
    else if (option->check_name("--axis"))
      words.push_back({bench::PlanWord::Kind::axis, args.axes.at(axis++)});
  }
  return words;
}

void list_benchmarks(Output& output) {
  Json list = Json::array();
  for (const bench::Benchmark& benchmark : bench::benchmarks()) {
    output.text(fmt::format("{:<26} {}\n", benchmark.name, benchmark.what));
    Json axes = Json::array();
    std::string text;
    for (const bench::Axis& axis : benchmark.axes) {
      axes.push_back({{"name", axis.name}, {"values", axis.values}, {"low", axis.low}, {"high", axis.high}});
      text += fmt::format(" {}={}", axis.name, fmt::join(axis.values, ","));
    }
    output.text(fmt::format("{:<26}{}\n", "", text));
    list.push_back({{"name", benchmark.name}, {"what", benchmark.what}, {"axes", axes}});
  }
  output.json()["benchmarks"] = list;
}

void refuse_limits(const BenchArgs& args) {
  if (args.limits.min_samples < 1) throw UserError("--min-samples is a number of samples from 1 on");
  if (args.limits.min_time < 0 || args.limits.max_noise <= 0 || args.limits.timeout <= 0)
    throw UserError("--min-time, --max-noise and --timeout must be above 0");
  if (args.peak_bandwidth < 0 || args.peak_flops < 0) throw UserError("--peak-bandwidth and --peak-flops must be above 0");
}

std::vector<bench::Mode> modes_of(const BenchArgs& args, const Device& device) {
  if (args.modes.empty())
    return device.is_cuda() ? std::vector{bench::Mode::cold, bench::Mode::batched} : std::vector{bench::Mode::batched};
  std::vector<bench::Mode> modes;
  for (const std::string& word : args.modes) {
    if (word != "cold" && word != "batched") throw UserError(fmt::format("--mode takes cold and batched, not {}", word));
    modes.push_back(word == "cold" ? bench::Mode::cold : bench::Mode::batched);
  }
  return modes;
}

bench::DeviceFacts facts_of(Device& device, const BenchArgs& args) {
  bench::DeviceFacts facts{.name = device.name(), .title = bench::device_title(device)};
  if (!device.is_cuda()) facts.threads = bench::cpu_threads();
  if (args.cpu_time) facts.title += ", processor time";
  facts.simulated = device.is_cuda() && bench::simulator_present();
  if (args.profile || facts.simulated) return facts;
  if (args.peak_bandwidth == 0 || args.peak_flops == 0) facts.peaks = bench::peaks_of(device);
  if (args.peak_bandwidth > 0) {
    facts.peaks.bandwidth = args.peak_bandwidth * 1e9;
    facts.peaks.bandwidth_source = "given";
  }
  if (args.peak_flops > 0) {
    facts.peaks.flops = args.peak_flops * 1e9;
    facts.peaks.flops_source = "given";
  }
  return facts;
}

/// With a file, the object goes there and the text to stdout.
void write_json(const BenchArgs& args, const Output& output) {
  if (args.json_file.empty() || args.json_file == "-") return;
  std::ofstream file(args.json_file);
  if (!(file << output.json().dump(2) << "\n" << std::flush))
    throw DataError(fmt::format("cannot write {}; choose another --json file", args.json_file));
}

void run_bench(const BenchArgs& args, Output& output) {
  if (!args.json_file.empty() && args.json_file != "-") output.print_text();
  if (args.list) {
    list_benchmarks(output);
    return write_json(args, output);
  }
  refuse_limits(args);
  const std::vector<bench::Plan> plans = bench::plans_of(words_of(args));
  const std::unique_ptr<Device> device = Device::open(args.device);
  if (args.cpu_time && device->is_cuda()) throw UserError("--cpu-time measures the CPU; leave it out with --device cuda");
  bench::RunSettings settings{.limits = args.limits, .modes = modes_of(args, *device), .skip_times = {}};
  const bench::DeviceFacts facts = facts_of(*device, args);
  if (args.profile) settings.skip_times = "--profile";
  if (facts.simulated) settings.skip_times = "simulator";
  output.json()["meta"] = {{"program", "swath"}, {"version", kVersion}};
  output.json()["devices"] = Json::array({json_of(facts)});
  output.json()["benchmarks"] = Json::array();
  output.text(header_of(facts) + bench::table_head());
  const std::unique_ptr<bench::Timer> timer =
      bench::make_timer(*device, args.cpu_time ? bench::Clock::processor : bench::Clock::wall);
  bool timed_out = false;
  for (const bench::Plan& plan : plans) {
    Json benchmark = json_of(plan, args.limits);
    for (const bench::Sizes& sizes : plan.shapes()) {
      const bench::State state = run_shape(*device, plan, sizes, *timer, settings);
      output.text(rows_of(*plan.benchmark, state, facts.peaks));
      output.flush();
      benchmark["states"].push_back(json_of(state, facts));
      for (const bench::Measurement& measured : state.measurements) timed_out = timed_out || measured.times.timed_out;
      device->pool()->trim();
    }
    output.json()["benchmarks"].push_back(benchmark);
  }
  if (timed_out) output.text("!: the time ran out before --min-samples, --min-time and --max-noise were met\n");
  write_json(args, output);
}

struct CompareArgs {
  std::string a, b;
  double threshold = 5;
  bool fail_slower = false;
};

Json json_of(const bench::Comparison& compared) {
  return {{"benchmark", compared.b.benchmark}, {"shape", compared.b.shape},     {"mode", compared.b.mode},
          {"a_median", compared.a.median},     {"b_median", compared.b.median}, {"ratio", compared.ratio},
          {"ratio_low", compared.low},         {"ratio_high", compared.high},   {"verdict", name_of(compared.verdict)}};
}

void list_missing(const std::vector<bench::Measured>& rows, const std::string& file, const char* key, Output& output) {
  output.json()[key] = Json::array();
  for (const bench::Measured& row : rows) {
    output.text(fmt::format("{} {} {}: only in {}\n", row.benchmark, row.shape, row.mode, file));
    output.json()[key].push_back({{"benchmark", row.benchmark}, {"shape", row.shape}, {"mode", row.mode}});
  }
}

void run_compare(const CompareArgs& args, Output& output) {
  if (args.threshold < 0) throw UserError("--threshold is a share in per cent from 0 on");
  const bench::Results a = bench::load_results(args.a), b = bench::load_results(args.b);
  const bench::Comparisons compared = bench::compare(a, b, args.threshold);
  if (compared.both.empty())
    throw UserError(fmt::format("{} and {} have no benchmark, shape and mode in common", args.a, args.b));
  output.json() = {{"a", args.a}, {"b", args.b}, {"threshold", args.threshold}, {"comparisons", Json::array()}};
  if (a.device != b.device) output.text(fmt::format("measured on two devices: {}; {}\n", a.device, b.device));
  output.json()["same_device"] = a.device == b.device;
  constexpr const char* row = "{:<26} {:<34} {:<8} {:>12} {:>12} {:>7} {:>15}  {}\n";
  output.text(fmt::format(fmt::runtime(row), "benchmark", "shape", "mode", "a", "b", "b / a", "interval", "verdict"));
  for (const bench::Comparison& c : compared.both) {
    output.text(fmt::format(fmt::runtime(row), c.b.benchmark, c.b.shape, c.b.mode, bench::seconds_text(c.a.median),
                            bench::seconds_text(c.b.median), fmt::format("{:.3f}", c.ratio),
                            fmt::format("{:.3f} - {:.3f}", c.low, c.high), name_of(c.verdict)));
    output.json()["comparisons"].push_back(json_of(c));
  }
  list_missing(compared.only_a, args.a, "only_a", output);
  list_missing(compared.only_b, args.b, "only_b", output);
  const std::int64_t slower = compared.count(bench::Verdict::slower);
  output.text(fmt::format("{} same, {} faster, {} slower, {} undecided\n", compared.count(bench::Verdict::same),
                          compared.count(bench::Verdict::faster), slower, compared.count(bench::Verdict::undecided)));
  output.json()["slower"] = slower;
  if (slower > 0 && args.fail_slower) output.end_with(ExitCode::slower);
}

void add_compare(CLI::App* parent, Request& request) {
  CLI::App* command = parent->add_subcommand("compare", "Compare two results: SAME, FASTER, SLOWER or UNDECIDED per case");
  command->footer(
      "Rule: both files hold an interval for the median of every case (95 % confidence, from the order of the samples).\n"
      "The ratio b / a therefore lies between b's lower end over a's upper end and the reverse. SLOWER: all of that is above\n"
      "1 + threshold. FASTER: all of it is below 1 / (1 + threshold). SAME: all of it lies between. UNDECIDED: neither; "
      "measure\n"
      "longer (--min-time, --max-noise). The threshold also covers what a single run cannot see: clocks, the layout of "
      "memory.\n"
      "Exit codes: 0, and 8 with --fail-slower when a case is SLOWER.\n");
  command->add_flag("--json", request.json, "Print one JSON object on stdout instead of text");
  command->allow_extras();
  auto args = std::make_shared<CompareArgs>();
  command->add_option("A", args->a, "The reference, written by swath bench --json")->required()->type_name("FILE");
  command->add_option("B", args->b, "What is judged")->required()->type_name("FILE");
  command->add_option("--threshold", args->threshold, "Per cent that do not matter (default: 5)");
  command->add_flag("--fail-slower", args->fail_slower, "Exit code 8 when a case is SLOWER");
  set_action(command, request, args, run_compare);
}

}  // namespace

void add_bench(CLI::App& app, Request& request) {
  CLI::App* command = app.add_subcommand("bench", "Time any kernel at any shape, and compare two results");
  command->footer(
      "Examples:\n"
      "  swath bench --list\n"
      "  swath bench -b margin_loss -a rows=112,512,2048 -a cols=128,512 --json new.json\n"
      "  swath bench -b mine.semihard --device cuda:0 --mode cold\n"
      "  swath bench compare old.json new.json --fail-slower\n"
      "noise is half the width of the 95 % interval of the median. bound is what limits the work at the device's peaks, share "
      "how\n"
      "much of that a call reaches; data that stays in a cache can exceed it. extra MiB: outputs, workspace and what the call "
      "took.\n");
  command->allow_extras();
  command->require_subcommand(0, 1);
  auto args = std::make_shared<BenchArgs>();
  args->command = command;
  command->add_flag("--list,-l", args->list, "List the benchmarks with their axes");
  command->add_option("--benchmark,-b", args->benchmarks, "A benchmark of --list; may be repeated (default: all)")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command->add_option("--axis,-a", args->axes, "Values of an axis of the benchmark before it, or of all; may be repeated")
      ->type_name("AXIS=N,N")
      ->allow_extra_args(false);
  command->add_option("--device,-d", args->device, "cpu, cuda or cuda:N (default: cpu)")->type_name("NAME");
  command
      ->add_option("--mode", args->modes,
                   "cold: caches flushed before each call; batched: calls back to back, caches warm\n"
                   "(default: batched, on CUDA both)")
      ->delimiter(',')
      ->type_name("LIST");
  command->add_option("--min-samples", args->limits.min_samples, "Samples at least (default: 10)");
  command->add_option("--min-time", args->limits.min_time, "Seconds of measured calls at least (default: 0.5)");
  command->add_option("--max-noise", args->limits.max_noise, "Sample until the noise is below this many per cent (default: 1)");
  command->add_option("--timeout", args->limits.timeout, "Seconds after which a case ends in any case (default: 15)");
  command->add_option("--peak-bandwidth", args->peak_bandwidth, "GB/s instead of the measured or stated peak");
  command->add_option("--peak-flops", args->peak_flops, "GFLOP/s instead of the measured or stated peak");
  command->add_flag("--cpu-time", args->cpu_time,
                    "Time of the processors instead of the clock on the wall: what a call costs on a busy machine.\n"
                    "With several threads it counts their waiting too; set OMP_NUM_THREADS=1");
  command->add_flag("--profile", args->profile, "Run each case once, for a profiler; no times");
  command->add_option("--json", args->json_file, "Print one JSON object instead of text; with FILE: write it there as well")
      ->expected(0, 1)
      ->type_name("[FILE]");
  add_compare(command, request);
  command->callback([&request, args] {
    if (args->command->get_subcommands().empty()) request.action = [args](Output& output) { run_bench(*args, output); };
  });
}

}  // namespace swath::app
