// What the folder of a run tells without its network: configuration, logs, how far it came.
#pragma once
#include <string>
#include <vector>

#include "apps/commands.h"
#include "recipes/metric_log.h"

namespace swath::app {

enum class RunState : std::uint8_t { finished, under_way, stopped };

struct RunRecord {
  std::string folder, name;
  TrainOptions options;
  Json status, versions, timing;  // of the files of these names; null where one is missing or torn
  std::vector<MetricRecord> records;
  std::int64_t damaged_lines = 0;  // of metrics.jsonl
  RunState state = RunState::stopped;

  std::uint64_t steps() const;
  std::int64_t epochs() const;  // begun, of the training log and of validations
  /// The last validation of a group at an epoch ≤ `epoch` (default: the last of all); null where there is none.
  const MetricRecord* validation(const std::string& group, std::int64_t epoch = INT64_MAX) const;
  /// Groups other than train in the order of the log.
  std::vector<std::string> groups() const;
  /// Epoch of the best checkpoint, −1 before there is one.
  std::int64_t best_epoch() const;
};

/// Reads a run that may be under way; takes no lock. Throws DataError for a folder that is no run, a configuration or log that
/// cannot be read.
RunRecord read_run(const std::string& folder);

/// A word of a shell command, in quotes where it needs them.
std::string shell_word(const std::string& word);

}  // namespace swath::app
