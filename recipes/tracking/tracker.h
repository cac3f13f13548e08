// Everything that logs a run: metrics.jsonl and the CSVs, from which the other logs are written anew when a run is continued,
// so that they have neither gaps nor doubles; status.json; and the sinks that tracking asks for.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "recipes/options.h"
#include "recipes/tracking/sink.h"

namespace swath {

class Tracker {
 public:
  /// `log` holds what is kept of an earlier part of the run, and must outlive the tracker. Throws DataError when a file
  /// cannot be written.
  Tracker(const std::filesystem::path& folder, MetricLog& log, const TrainOptions& options);

  /// Stamps the record with the time and writes it to all logs.
  void write(MetricRecord record);
  /// After the records of a validation; `results` are added to the summary.
  void validated(const Json& results);
  /// The exit record: the program's exit code, the sentence of the error (empty: none) and the summary.
  void finish(ExitCode code, const std::string& error);

 private:
  void remember(const MetricRecord& record);
  void write_status(const Json& exit_code, const std::string& error) const;

  std::filesystem::path status_file_;
  MetricLog& log_;
  double started_;
  Json summary_ = Json::object();  // name → latest value
  std::vector<std::unique_ptr<Sink>> sinks_;
};

}  // namespace swath
