// swath train: trains a recipe, or continues a run.
#include <algorithm>
#include <filesystem>
#include <optional>

#include "apps/commands.h"
#include "apps/packing.h"
#include "apps/progress.h"
#include "apps/signals.h"
#include "engine/core/log.h"
#include "engine/dist/ranks.h"
#include "recipes/step_plan.h"
#include "recipes/trainer.h"

namespace swath::app {

namespace fs = std::filesystem;

namespace {

struct TrainArgs {
  ConfigArgs config;
  std::string resume;
  bool memory = false;
};

/// Keys that a continued run may change; everything else would make it another run.
bool may_change(const std::string& key) {
  for (const char* free : {"epochs", "device", "graph", "autotune", "recompute", "data.root", "data.packed", "pack.",
                           "validation.", "run.", "tracking.", "ranks.timeout", "nca.sharded"})
    if (key.rfind(free, 0) == 0) return true;
  return false;
}

/// The first key by which a configuration would make another run than `before`: "key = old, not new"; empty: none.
std::string difference(const Json& now, const Json& before, const std::string& path = "") {
  for (const auto& [key, value] : now.items()) {
    const std::string full = path.empty() ? key : path + "." + key;
    const auto old = before.find(key);
    std::string found;
    if (value.is_object() && old != before.end() && old->is_object())
      found = difference(value, *old, full);
    else if (!may_change(full) && (old == before.end() || *old != value))
      found = fmt::format("{} = {}, not {}", full, old == before.end() ? "nothing" : old->dump(), value.dump());
    if (!found.empty()) return found;
  }
  return "";
}

/// Runs of this recipe in run.directory whose names it chose itself, the one that wrote last first.
std::vector<fs::path> unnamed_runs(const TrainOptions& options) {
  std::vector<std::pair<fs::file_time_type, fs::path>> found;
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator(options.run.directory, problem)) {
    if (!RunDir::exists(entry.path()) || entry.path().filename().string().rfind(options.recipe + "-", 0) != 0) continue;
    const fs::path checkpoints = entry.path() / "checkpoints";
    found.emplace_back(fs::last_write_time(fs::exists(checkpoints) ? checkpoints : entry.path(), problem), entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<fs::path> runs;
  for (auto& [time, path] : found) runs.push_back(std::move(path));
  return runs;
}

/// The run of that name, else the latest run of this configuration in run.directory; empty when there is none.
std::string find_run(const TrainOptions& options) {
  const fs::path named = fs::path(options.run.directory) / options.run.name;
  if (!options.run.name.empty()) return RunDir::exists(named) ? named.string() : "";
  const Json now = config_to_json(options);
  for (const fs::path& run : unnamed_runs(options)) {
    try {
      if (difference(now, config_to_json(options_of(load_run_config(run.string())))).empty()) return run.string();
    } catch (const Error&) {
      continue;  // a configuration of another version is not this one
    }
  }
  return "";
}

/// What to do, before anything is opened: options, and the folder of a run to continue (empty: a new run).
struct Plan {
  TrainOptions options;
  std::string folder;
};

Plan plan_continued(const std::string& folder, const TrainArgs& args) {
  if (!RunDir::exists(folder)) throw DataError(fmt::format("{} is no run folder: it holds no config.json", folder));
  const Json before = load_run_config(folder);
  Json now = before;
  if (!args.config.file.empty()) now.merge_patch(load_config(args.config.file));
  apply_assignments(now, args.config);
  const TrainOptions options = options_of(now);
  const std::string other = difference(config_to_json(options), config_to_json(options_of(before)));
  if (!other.empty())
    throw UserError(fmt::format("the run {} was started with {}; start a new run, or drop that change", folder, other));
  return {options, folder};
}

/// A run stays in the folder that --resume names.
void require_same_place(const Plan& plan) {
  const RunOptions before = options_of(load_run_config(plan.folder)).run;
  if (plan.options.run.name != before.name || plan.options.run.directory != before.directory)
    throw UserError(
        fmt::format("--resume {} continues in that folder; drop run.name and run.directory, or start a new run", plan.folder));
}

/// A continued run's folder, else what the configuration alone says: enough to join the other ranks.
Plan first_plan(const TrainArgs& args) {
  if (!args.resume.empty() && args.resume != "auto") {
    const fs::path folder = fs::path(args.resume).lexically_normal();
    const Plan plan = plan_continued((folder.has_filename() ? folder : folder.parent_path()).string(), args);
    require_same_place(plan);
    return plan;
  }
  return {options_of(config_of(args.config)), ""};
}

/// With --resume auto, the run that rank 0 finds.
Plan plan_run(const TrainArgs& args, const Plan& first, Communicator& ranks) {
  if (args.resume != "auto") return first;
  const std::string found = ranks.broadcast(ranks.leads() ? find_run(first.options) : "", 0);
  return found.empty() ? first : plan_continued(found, args);
}

RunDir open_run(const Plan& plan) {
  if (plan.folder.empty()) return RunDir::create(plan.options);
  RunDir run = RunDir::open(plan.folder);
  run.checkpoints().set_keep(plan.options.run.keep);
  return run;
}

/// Rank 0 makes the folder or opens it, the others join.
RunDir open_run(const Plan& plan, Communicator& ranks) {
  if (!ranks.leads()) return RunDir::join(ranks.broadcast("", 0));
  RunDir run = open_run(plan);
  ranks.broadcast(run.path().string(), 0);
  return run;
}

/// Rank 0 packs where that is not done yet, and the others open what it made, without writing there.
PackedSet open_shared_data(const TrainOptions& options, Communicator& ranks) {
  if (!ranks.leads()) {
    ranks.barrier();
    return open_packed(options.data.packed, options.pack);
  }
  PackedSet data = open_packed_set(options);
  ranks.barrier();
  return data;
}

/// A new run that cannot begin leaves no folder behind.
std::unique_ptr<Trainer> make_trainer(Device& device, const Plan& plan, const PackedSet& data, RunDir& run,
                                      Communicator& ranks) {
  try {
    return std::make_unique<Trainer>(device, plan.options, data, run, ranks);
  } catch (...) {
    std::error_code ignored;
    if (plan.folder.empty() && ranks.leads()) fs::remove_all(run.path(), ignored);
    throw;
  }
}

/// What `work` gives; where the device's memory does not suffice, the error names the batch that would have fitted.
template <class Work>
auto with_batch_named(const TrainOptions& options, const PackedSplit& split, const Work& work) {
  try {
    return work();
  } catch (const OutOfMemory& full) {
    throw DeviceError(with_remedy(full, options, split));
  }
}

std::string line_of(const TrainProgress& p) {
  return fmt::format("epoch {}/{}  batch {}/{}  loss {:.4f}  {:.1f} img/s  {:.0f} % waiting for data  {}  ETA {}", p.epoch + 1,
                     p.epochs, p.batch, p.batches, p.loss, p.images_per_second, 100 * p.waiting_share,
                     bytes(static_cast<double>(p.memory_bytes)), duration(p.eta_seconds));
}

std::string line_of(const ValidationReport& v) {
  std::string line = v.epoch == 0 ? fmt::format("untrained, {}:", v.part) : fmt::format("after epoch {}, {}:", v.epoch, v.part);
  const auto headline = [](const auto& row) { return row.first == "recall" || row.first == "map"; };
  const bool all = std::none_of(v.table.rows.begin(), v.table.rows.end(), headline);
  for (const auto& row : v.table.rows) {
    if (!all && !headline(row)) continue;
    const auto& [name, values] = row;
    for (std::size_t i = 0; i < values.size(); ++i) line += fmt::format("  {}@{} {:.4f}", name, v.table.ks[i], values[i]);
  }
  if (v.overlap) line += fmt::format("  overlap {:.4f}", *v.overlap);
  return line + (v.best ? "  (best)" : "");
}

Json json_of(const std::optional<ValidationReport>& v) {
  if (!v) return nullptr;
  Json json{{"epoch", v->epoch}, {"step", v->step}, {"part", v->part}, {"metrics", v->table.to_json()}};
  if (v->overlap) json["overlap"] = *v->overlap;
  return json;
}

std::string parameters_of(const Trainer& trainer) {
  const std::string trained = fmt::format("{:.2f} M parameters", static_cast<double>(trainer.parameter_count()) / 1e6);
  const std::int64_t frozen = trainer.frozen_parameter_count();
  return frozen ? fmt::format("{} and {:.2f} M frozen", trained, static_cast<double>(frozen) / 1e6) : trained;
}

void write_result(const TrainResult& result, const Trainer& trainer, const RunDir& run, const Device& device, Output& output) {
  output.json() = {{"run", run.path().string()},
                   {"parameters", trainer.parameter_count()},
                   {"frozen_parameters", trainer.frozen_parameter_count()},
                   {"steps", result.steps},
                   {"seconds", result.seconds},
                   {"untrained", json_of(result.untrained)},
                   {"best", json_of(result.best)},
                   {"last", json_of(result.last)},
                   {"best_checkpoint", result.best_checkpoint},
                   {"last_checkpoint", result.last_checkpoint},
                   {"peak_memory_bytes", device.pool()->use().peak}};
  output.text(fmt::format("{}: {} steps in {}\n", run.path().string(), result.steps, duration(result.seconds)));
  for (const auto& [name, report] : {std::pair{"untrained", &result.untrained}, std::pair{"best", &result.best}}) {
    if (*report) output.text(fmt::format("  {:<10}{}\n", name, line_of(**report)));
  }
}

void write_memory(const Device& device, const TrainOptions& options, const PackedSplit& split, Progress& progress,
                  Output& output) {
  progress.line(device.pool()->report());
  output.json()["memory"] = memory_of(*device.pool());
  if (!device.is_cuda()) return;
  const std::size_t memory = device.backend().memory_info().free + device.pool()->reserved();
  const std::int64_t rows = largest_batch(options, split, memory);
  output.json()["largest_batch"] = rows;
  progress.line(
      fmt::format("largest batch in {}, the libraries' workspaces apart: {} images", bytes(static_cast<double>(memory)), rows));
}

void train(const TrainArgs& args, const Plan& plan, Communicator& launched, Output& output) {
  // Device and data come before the run folder, so that a mistake leaves no empty run behind.
  const TrainOptions& options = plan.options;
  TrainOptions here = options;
  here.device = device_of_rank(options.device, launched);
  const std::unique_ptr<Device> device = open_device(here);
  const std::unique_ptr<Communicator> joined = join_devices(launched, *device);
  Communicator& ranks = joined ? *joined : launched;
  const PackedSet data = open_shared_data(options, ranks);
  RunDir run = open_run(plan, ranks);
  if (ranks.leads()) run.write_versions(*device);
  Progress progress;
  const std::unique_ptr<Trainer> trainer =
      with_batch_named(options, data.train, [&] { return make_trainer(*device, plan, data, run, ranks); });
  TrainHooks hooks;
  hooks.stop = &stop_requested();
  if (ranks.leads()) {
    run.write_config(options);  // of a continued run only now: a refused change leaves it as it was
    progress.line(fmt::format("{}: {} on {}{}, {}, {} training images, {} classes", run.path().string(), options.recipe,
                              device->name(), ranks.alone() ? "" : fmt::format(", {} ranks", ranks.size()),
                              parameters_of(*trainer), data.train.rows(), data.train.class_names().size()));
    hooks.progress = [&](const TrainProgress& p) {
      progress.update(line_of(p), p.batch == p.batches ? Progress::When::always : Progress::When::throttled);
    };
    hooks.validated = [&](const ValidationReport& v) { progress.line(line_of(v)); };
  }
  const TrainResult result = with_batch_named(options, data.train, [&] { return trainer->run(hooks); });
  if (!ranks.leads()) {
    output.silence();
    return;
  }
  write_result(result, *trainer, run, *device, output);
  if (args.memory) write_memory(*device, options, data.train, progress, output);
}

void run_train(const TrainArgs& args, Output& output) {
  install_stop_signals();
  const Plan first = first_plan(args);
  const std::unique_ptr<Communicator> ranks = join_ranks(first.options.ranks);
  if (!ranks->leads()) log::logger().set_level(spdlog::level::err);
  try {
    train(args, plan_run(args, first, *ranks), *ranks, output);
  } catch (...) {
    ranks->say_failed();
    throw;
  }
}

}  // namespace

void add_train(CLI::App& app, Request& request) {
  CLI::App* command =
      add_command(app, request, "train", "Train, or continue a run; packs the archive first where that is not done yet",
                  "  swath train --config configs/demo.json\n"
                  "  swath train --config configs/mlrsnet.json --root MLRSNet --device cuda:0\n"
                  "  swath train --config configs/demo.json --resume auto      starts, or goes on where the last run stopped\n"
                  "  swath train --resume runs/demo --set epochs=40            trains a finished run further\n"
                  "Configuration keys: swath config schema lists all, swath config explain KEY explains one or a group.\n");
  auto args = std::make_shared<TrainArgs>();
  add_config_args(command, args->config, Shorthands::both);
  command->add_option("--resume", args->resume, "auto: the latest run of this configuration, or a new one; or a run folder")
      ->type_name("auto|DIR");
  command->add_flag("--memory", args->memory,
                    "Print the device memory by purpose at the end, and the largest batch that fits on a GPU");
  set_action(command, request, args, run_train);
}

}  // namespace swath::app
