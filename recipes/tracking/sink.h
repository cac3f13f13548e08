// A place that the numbers of a run go to while it trains.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/config.h"
#include "recipes/metric_log.h"

namespace swath {

/// What a sink tells about the run besides its numbers.
struct TrackedRun {
  std::filesystem::path folder;  // the run folder
  Json config;                   // resolved
  double started = 0;            // seconds since 1970
};

class Sink {
 public:
  virtual ~Sink() = default;
  /// Appends a record, visible to readers at once. Throws DataError when the disk is full, like the others.
  virtual void write(const MetricRecord& record) = 0;
  /// After the records of a validation. `summary`: name → latest value.
  virtual void validated(const Json& summary) = 0;
  /// The last call.
  virtual void finish(ExitCode code, const Json& summary) = 0;
};

/// "train/loss": the name of a value in every log that has no groups.
inline std::string tag_of(const MetricRecord& record, const std::string& name) { return record.group + "/" + name; }

}  // namespace swath
