#include "recipes/tracking/wandb.h"

#include <unistd.h>

#include <array>
#include <cmath>
#include <ctime>
#include <fstream>
#include <iterator>
#include <random>

#include "engine/core/log.h"
#include "engine/io/file.h"
#include "recipes/tracking/crc.h"
#include "recipes/version.h"

namespace swath {

namespace fs = std::filesystem;

namespace {

// Field numbers of the message Record in wandb_internal.proto.
constexpr int kHistory = 2, kSummary = 3, kMetric = 12, kRun = 17, kExit = 18, kHeader = 21;

constexpr std::uint64_t kBlock = 32768, kChunkHeader = 7;
constexpr std::chrono::seconds kLastUpload{120};

ProtoMessage item(const std::string& key, const std::string& value_json) {
  return ProtoMessage().text(1, key).text(16, value_json);
}

/// W&B reads the three values that JSON lacks.
std::string json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return Json(value).dump();
}

ProtoMessage summary_message(const Json& summary) {
  ProtoMessage message;
  for (const auto& [key, value] : summary.items())
    message.message(1, item(key, value.is_number_float() ? json_number(value.get<double>()) : value.dump()));
  return message;
}

/// Charts have the training step on their x axis.
ProtoMessage metric_on_steps() { return ProtoMessage().text(2, "*").text(4, "step").message(6, ProtoMessage().integer(3, 1)); }

std::string new_id() {
  constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string id;
  while (id.size() < 8) id += kDigits[random() % kDigits.size()];
  return id;
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// The folder of the W&B run in `parent`, an earlier one where there is one.
fs::path run_folder(const fs::path& parent, double started) {
  fs::create_directories(parent);
  for (const fs::directory_entry& entry : fs::directory_iterator(parent))
    if (entry.is_directory() && entry.path().filename().string().rfind("offline-run-", 0) == 0) return entry.path();
  const auto seconds = static_cast<std::time_t>(started);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 32> time{};
  std::strftime(time.data(), time.size(), "%Y%m%d_%H%M%S", &local);
  return parent / fmt::format("offline-run-{}-{}", time.data(), new_id());
}

std::string id_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.substr(name.rfind('-') + 1);
}

}  // namespace

std::string wandb_chunks(std::string_view record, std::uint64_t at) {
  enum Type : std::uint8_t { full = 1, first = 2, middle = 3, last = 4 };
  std::string bytes;
  bool begun = false;
  do {
    std::uint64_t room = kBlock - (at + bytes.size()) % kBlock;
    if (room < kChunkHeader) {
      bytes.append(room, '\0');
      room = kBlock;
    }
    const std::string_view part = record.substr(0, room - kChunkHeader);
    const bool ends = part.size() == record.size();
    const std::string typed = static_cast<char>(ends ? (begun ? last : full) : (begun ? middle : first)) + std::string(part);
    bytes += little_endian(crc32(typed), 4) + little_endian(part.size(), 2) + typed;
    record.remove_prefix(part.size());
    if (ends) return bytes;
    begun = true;
  } while (true);
}

WandbSink::WandbSink(const TrackedRun& run, const TrackingOptions& options, const std::vector<MetricRecord>& past)
    : started_(run.started) {
  const fs::path parent = run.folder / "wandb", folder = run_folder(parent, run.started);
  const std::string id = id_of(folder);
  fs::create_directories(folder / "files");
  std::string content = beginning(run, options, id);
  for (const MetricRecord& record : past) content += history(record, content.size());
  // What `wandb sync` keeps beside a run that it has uploaded; it would pass over the continued one.
  const fs::path file = folder / fmt::format("run-{}.wandb", id);
  for (const char* suffix : {".synced", ".syncstate"}) fs::remove(file.string() + suffix);
  file_ = std::make_unique<AppendFile>(file, content);
  if (options.wandb != "online") return;
  const fs::path program = WandbSync::find_program();
  if (program.empty()) {
    log::warn(
        "tracking.wandb is online, but there is no program wandb in PATH: nothing is uploaded; install it (PyPI: wandb) and "
        "resume, or upload later with wandb sync {}",
        folder.string());
    return;
  }
  sync_ = std::make_unique<WandbSync>(program, parent / "sync.log");
}

std::string WandbSink::record_bytes(int field, const ProtoMessage& message, std::uint64_t at) {
  return wandb_chunks(ProtoMessage().integer(1, ++records_).message(field, message).bytes(), at);
}

std::string WandbSink::beginning(const TrackedRun& run, const TrackingOptions& options, const std::string& id) {
  std::string content = ":W&B" + little_endian(0xBEE1, 2) + little_endian(0, 1);
  const ProtoMessage version = ProtoMessage().text(1, std::string("swath ") + kVersion).text(2, "0.70.0");
  content += record_bytes(kHeader, ProtoMessage().message(1, version), content.size());
  ProtoMessage config;
  for (const auto& [key, value] : run.config.items()) config.message(1, item(key, value.dump()));
  ProtoMessage message = ProtoMessage().text(1, id).text(3, options.project).message(4, config);
  if (!options.group.empty()) message.text(6, options.group);
  message.text(8, options.name.empty() ? run.folder.filename().string() : options.name).text(13, host_name());
  message.message(17, ProtoMessage().integer(1, static_cast<std::int64_t>(run.started)));
  content += record_bytes(kRun, message, content.size());
  content += record_bytes(kMetric, metric_on_steps(), content.size());
  return content;
}

std::string WandbSink::history(const MetricRecord& record, std::uint64_t at) {
  ProtoMessage message;
  for (const auto& [name, value] : record.values) message.message(1, item(tag_of(record, name), json_number(value)));
  message.message(1, item("step", Json(record.step).dump())).message(1, item("epoch", Json(record.epoch).dump()));
  message.message(1, item("_step", std::to_string(history_steps_)));
  message.message(1, item("_runtime", json_number(record.time - started_)));
  message.message(1, item("_timestamp", json_number(record.time)));
  message.message(2, ProtoMessage().integer(1, history_steps_++));
  return record_bytes(kHistory, message, at);
}

void WandbSink::append(int field, const ProtoMessage& message) { file_->append(record_bytes(field, message, file_->size())); }

void WandbSink::write(const MetricRecord& record) { file_->append(history(record, file_->size())); }

void WandbSink::validated(const Json& summary) {
  append(kSummary, summary_message(summary));
  if (sync_ && !sync_->running()) upload_copy();
}

void WandbSink::upload_copy() {
  std::ifstream in(file_->path(), std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(in), {}};
  const ProtoMessage goes_on = ProtoMessage().integer(1, 0).integer(3, 1);
  const std::int64_t before = records_;
  content += record_bytes(kExit, goes_on, content.size());
  records_ = before;
  const fs::path folder = file_->path().parent_path();
  const fs::path copy = folder.parent_path() / "online" / folder.filename();
  fs::create_directories(copy);
  atomic_write((copy / file_->path().filename()).string(), content);
  sync_->start(copy / file_->path().filename());
}

void WandbSink::finish(ExitCode code, const Json& summary) {
  append(kSummary, summary_message(summary));
  append(kExit, ProtoMessage().integer(1, static_cast<int>(code)));
  if (!sync_) return;
  sync_->stop();
  std::error_code ignored;
  fs::remove_all(file_->path().parent_path().parent_path() / "online", ignored);
  sync_->start(file_->path());
  if (code != ExitCode::preempted) sync_->wait(kLastUpload);
}

}  // namespace swath
