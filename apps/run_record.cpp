#include "apps/run_record.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "recipes/run_dir.h"

namespace swath::app {

namespace fs = std::filesystem;

namespace {

Json object_in(const fs::path& file) {
  std::ifstream in(file);
  Json json = Json::parse(in, nullptr, false);
  return json.is_object() ? json : Json();
}

void read_log(RunRecord& run) {
  const fs::path file = fs::path(run.folder) / "metrics.jsonl";
  if (!fs::exists(file)) return;
  if (!fs::is_regular_file(file) || !std::ifstream(file))
    throw DataError(
        fmt::format("{} cannot be read; give it back its rights, or remove it and continue the run", file.string()));
  run.records = MetricLog(run.folder).read(&run.damaged_lines);
  if (run.records.empty() && run.damaged_lines > 0)
    throw DataError(fmt::format("{} holds no line of a log; it is damaged, so restore it or remove it", file.string()));
}

RunState state_of(const RunRecord& run) {
  if (FileLock::held((fs::path(run.folder) / "lock").string())) return RunState::under_way;
  const bool ended = run.status.is_object() && run.status.contains("exit_code") && run.status["exit_code"] == 0;
  return ended ? RunState::finished : RunState::stopped;
}

}  // namespace

std::uint64_t RunRecord::steps() const {
  std::uint64_t most = 0;
  for (const MetricRecord& record : records) most = std::max(most, record.step);
  return most;
}

std::int64_t RunRecord::epochs() const {
  std::int64_t most = 0;
  for (const MetricRecord& record : records) most = std::max(most, record.epoch);
  return most;
}

const MetricRecord* RunRecord::validation(const std::string& group, std::int64_t epoch) const {
  const MetricRecord* found = nullptr;
  for (const MetricRecord& record : records)
    if (record.group == group && record.epoch <= epoch) found = &record;
  return found;
}

std::vector<std::string> RunRecord::groups() const {
  std::vector<std::string> names;
  for (const MetricRecord& record : records)
    if (record.group != "train" && std::find(names.begin(), names.end(), record.group) == names.end())
      names.push_back(record.group);
  return names;
}

std::int64_t RunRecord::best_epoch() const {
  const Json summary = status.is_object() ? status.value("summary", Json()) : Json();
  std::int64_t best = summary.is_object() ? summary.value("best/epoch", std::int64_t{-1}) : -1;
  double highest = -1;
  for (const MetricRecord& record : records) {
    if (record.group != options.validation.part || record.epoch == 0) continue;
    for (const auto& [metric, value] : record.values) {
      if (metric != "recall@1" || value <= highest) continue;
      highest = value;
      best = record.epoch;
    }
  }
  return best;
}

RunRecord read_run(const std::string& folder) {
  if (!RunDir::exists(folder)) throw DataError(fmt::format("{} is no run folder: it holds no config.json", folder));
  RunRecord run;
  run.folder = fs::path(folder).lexically_normal().string();
  if (run.folder.size() > 1 && run.folder.back() == '/') run.folder.pop_back();
  run.name = fs::absolute(run.folder).lexically_normal().filename().string();
  run.options = options_of(load_run_config(folder));
  run.status = object_in(fs::path(folder) / "status.json");
  run.versions = object_in(fs::path(folder) / "versions.json");
  run.timing = object_in(fs::path(folder) / "timing.json");
  read_log(run);
  run.state = state_of(run);
  return run;
}

std::string shell_word(const std::string& word) {
  const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || std::strchr("_-./=:,@%+", c); };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace swath::app
