// The folder of one run: configuration, versions, logs, checkpoints. A new run never reuses one; a resumed run goes on in it.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "engine/core/config.h"
#include "engine/io/checkpoint.h"
#include "engine/io/file.h"
#include "recipes/metric_log.h"
#include "recipes/options.h"

namespace swath {

class RunDir {
 public:
  /// Makes <directory>/<name> (name empty: recipe, date and time) and locks it. Throws UserError when it exists and is not
  /// empty, naming --resume as the remedy.
  static RunDir create(const TrainOptions& options);
  /// Opens and locks the folder of an earlier run. Throws DataError when it is none, UserError when another run uses it.
  static RunDir open(const std::filesystem::path& folder);
  /// The folder of a run that another process of the same training has opened: for reading, and for a checkpoint in that
  /// process's place.
  static RunDir join(const std::filesystem::path& folder);
  /// Whether the folder holds a run that can be continued.
  static bool exists(const std::filesystem::path& folder);

  const std::filesystem::path& path() const { return path_; }
  /// config.json: the resolved configuration.
  Json config() const;
  void write_config(const TrainOptions& options);
  /// versions.json: swath, device, libraries.
  void write_versions(const Device& device);
  MetricLog& log() { return log_; }
  CheckpointStore& checkpoints() { return *checkpoints_; }
  /// Draws curves.svg from the log.
  void write_curves() const;

 private:
  enum class Access : std::uint8_t { locked, shared };
  RunDir(std::filesystem::path path, Access access);

  std::filesystem::path path_;
  std::unique_ptr<FileLock> lock_;  // null: shared
  MetricLog log_;
  std::unique_ptr<CheckpointStore> checkpoints_;
};

}  // namespace swath
