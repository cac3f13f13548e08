#include "recipes/run_dir.h"

#include <array>
#include <chrono>
#include <ctime>

#include "recipes/curves.h"
#include "recipes/version.h"

namespace swath {

namespace fs = std::filesystem;

namespace {

std::string timestamp() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y%m%d-%H%M%S", &local);
  return text.data();
}

void make_folder_of_run(const fs::path& path) {
  std::error_code problem;
  fs::create_directories(path, problem);
  if (problem)
    throw UserError(fmt::format("cannot make the run folder {} ({}); choose run.directory", path.string(), problem.message()));
}

}  // namespace

RunDir::RunDir(fs::path path, Access access)
    : path_(std::move(path)),
      lock_(access == Access::locked ? std::make_unique<FileLock>((path_ / "lock").string()) : nullptr),
      log_(path_),
      checkpoints_(std::make_unique<CheckpointStore>((path_ / "checkpoints").string())) {}

RunDir RunDir::create(const TrainOptions& options) {
  const std::string name = options.run.name.empty() ? options.recipe + "-" + timestamp() : options.run.name;
  if (name.find('/') != std::string::npos || name == "." || name == "..")
    throw UserError(fmt::format("run.name is a folder's name, not the path \"{}\"; use run.directory for the path", name));
  const fs::path path = fs::path(options.run.directory) / name;
  if (fs::exists(path) && (!fs::is_directory(path) || !fs::is_empty(path)))
    throw UserError(fmt::format("the run folder {} exists; choose another run.name, or continue it with --resume {}",
                                path.string(), path.string()));
  make_folder_of_run(path);
  RunDir run(path, Access::locked);
  run.checkpoints().set_keep(options.run.keep);
  run.write_config(options);
  return run;
}

bool RunDir::exists(const fs::path& folder) { return fs::is_regular_file(folder / "config.json"); }

RunDir RunDir::open(const fs::path& folder) {
  if (!exists(folder)) throw DataError(fmt::format("{} is no run folder: it holds no config.json", folder.string()));
  RunDir run(folder, Access::locked);
  run.checkpoints().remove_leftovers();
  return run;
}

RunDir RunDir::join(const fs::path& folder) {
  if (!exists(folder))
    throw DataError(fmt::format(
        "{} is not there on every rank's machine; put run.directory on a file system that all of them share", folder.string()));
  return {folder, Access::shared};
}

Json RunDir::config() const { return load_config((path_ / "config.json").string()); }

void RunDir::write_config(const TrainOptions& options) {
  atomic_write((path_ / "config.json").string(), config_to_json(options).dump(2) + "\n");
}

void RunDir::write_versions(const Device& device) {
  Json json{{"swath", kVersion}, {"device", device.name()}, {"libraries", device.backend().versions()}};
  atomic_write((path_ / "versions.json").string(), json.dump(2) + "\n");
}

void RunDir::write_curves() const {
  const std::vector<MetricRecord> records = log_.read();
  const LineChart scores = score_chart(records, "Retrieval during training", [](const std::string& name) {
    const std::string metric = metric_of(name);
    return metric == "recall" || metric == "map";
  });
  const LineChart losses = step_chart(records, "loss");
  if (!scores.series.empty()) atomic_write((path_ / "curves.svg").string(), line_chart(scores));
  if (!losses.series[0].x.empty()) atomic_write((path_ / "loss.svg").string(), line_chart(losses));
}

}  // namespace swath
