#include "recipes/tracking/tracker.h"

#include <fstream>

#include "engine/io/file.h"
#include "recipes/tracking/host.h"
#include "recipes/tracking/tensorboard.h"
#include "recipes/tracking/wandb.h"

namespace swath {

namespace fs = std::filesystem;

namespace {

/// When the run began, also where it is continued.
double start_of(const fs::path& status_file) {
  std::ifstream in(status_file);
  const Json status = Json::parse(in, nullptr, false);
  const bool known = status.is_object() && status.contains("started") && status["started"].is_number();
  return known ? status["started"].get<double>() : unix_time();
}

}  // namespace

void check_tracking(const TrackingOptions& options) {
  if (options.wandb == "off") return;
  if (options.project.empty() || options.project.size() > 128 || options.project.find_first_of("/\\#?%:") != std::string::npos)
    throw UserError(fmt::format(
        "tracking.project is a name of 1 to 128 characters without / \\ # ? % :, not \"{}\"; choose another", options.project));
}

Tracker::Tracker(const fs::path& folder, MetricLog& log, const TrainOptions& options)
    : status_file_(folder / "status.json"), log_(log), started_(start_of(status_file_)) {
  const std::vector<MetricRecord> past = log_.read();
  for (const MetricRecord& record : past) remember(record);
  write_status(nullptr, "");
  const TrackedRun run{folder, config_to_json(options), started_};
  if (options.tracking.tensorboard) sinks_.push_back(std::make_unique<TensorBoardSink>(run, past));
  if (options.tracking.wandb != "off") sinks_.push_back(std::make_unique<WandbSink>(run, options.tracking, past));
}

void Tracker::remember(const MetricRecord& record) {
  for (const auto& [name, value] : record.values) summary_[tag_of(record, name)] = value;
  summary_["step"] = record.step;
  summary_["epoch"] = record.epoch;
}

void Tracker::write(MetricRecord record) {
  record.time = unix_time();
  log_.write(record);
  remember(record);
  for (const auto& sink : sinks_) sink->write(record);
}

void Tracker::validated(const Json& results) {
  summary_.update(results);
  for (const auto& sink : sinks_) sink->validated(summary_);
}

void Tracker::finish(ExitCode code, const std::string& error) {
  write_status(static_cast<int>(code), error);
  for (const auto& sink : sinks_) sink->finish(code, summary_);
}

void Tracker::write_status(const Json& exit_code, const std::string& error) const {
  const Json ended = exit_code.is_null() ? Json() : Json(unix_time());
  const Json status{{"started", started_}, {"ended", ended}, {"exit_code", exit_code}, {"error", error}, {"summary", summary_}};
  atomic_write(status_file_.string(), status.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace swath
