#include "recipes/tracking/wandb.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <random>

#include "engine/core/log.h"
#include "engine/io/file.h"
#include "recipes/tracking/crc.h"
#include "recipes/tracking/host.h"
#include "recipes/version.h"

namespace swath {

namespace fs = std::filesystem;

namespace {

// Field numbers of the message Record in wandb_internal.proto.
constexpr int kHistory = 2, kSummary = 3, kMetric = 12, kRun = 17, kExit = 18, kHeader = 21;

constexpr std::uint64_t kBlock = 32768, kChunkHeader = 7, kFileHeader = 7;
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

fs::path marker_of(const fs::path& file) { return file.string() + ".synced"; }

/// The folders of the run's files, the oldest first.
std::vector<fs::path> file_folders(const fs::path& parent) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent))
    if (entry.is_directory() && entry.path().filename().string().rfind("offline-run-", 0) == 0) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

std::string id_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.substr(name.rfind('-') + 1);
}

fs::path file_in(const fs::path& folder) { return folder / fmt::format("run-{}.wandb", id_of(folder)); }

std::string folder_name(std::time_t seconds, const std::string& id) {
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> time{};
  std::strftime(time.data(), time.size(), "%Y%m%d_%H%M%S", &utc);
  return fmt::format("offline-run-{}-{}", time.data(), id);
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

std::int64_t wandb_history_rows(const fs::path& file) {
  const MappedFile mapped(file.string());
  const std::string_view bytes(reinterpret_cast<const char*>(mapped.data()), mapped.size());
  std::int64_t rows = 0;
  for (std::size_t at = kFileHeader; at + kChunkHeader < bytes.size();) {
    const std::size_t left = kBlock - at % kBlock;
    if (left < kChunkHeader) {
      at += left;
      continue;
    }
    const std::size_t length = static_cast<unsigned char>(bytes[at + 4]) | static_cast<unsigned char>(bytes[at + 5]) << 8;
    // A record begins with its number, a varint behind one byte; the next byte tells the kind.
    const std::string_view part = bytes.substr(at + kChunkHeader, length);
    std::size_t kind = 1;
    while (kind < part.size() && (part[kind] & 0x80)) ++kind;
    if (bytes[at + 6] <= 2 && kind + 1 < part.size() && part[kind + 1] == (kHistory << 3 | 2)) ++rows;
    at += kChunkHeader + length;
  }
  return rows;
}

WandbSink::WandbSink(const TrackedRun& run, const TrackingOptions& options, const std::vector<MetricRecord>& past)
    : run_(run), options_(options), parent_(run.folder / "wandb") {
  fs::create_directories(parent_);
  take_stock();
  open_file();
  for (const MetricRecord& record : past) write(record);
  if (options.wandb != "online") return;
  const fs::path program = WandbSync::find_program();
  if (program.empty()) {
    log::warn(
        "tracking.wandb is online, but there is no program wandb in PATH: nothing is uploaded; install it (PyPI: wandb) and "
        "resume, or upload later with wandb sync {}",
        parent_.string());
    return;
  }
  sync_ = std::make_unique<WandbSync>(program, parent_ / "sync.log");
}

/// Finds the id and what was uploaded; removes the rest, which is written again.
void WandbSink::take_stock() {
  for (const fs::path& folder : file_folders(parent_)) {
    id_ = id_of(folder);
    if (fs::exists(marker_of(file_in(folder))))
      uploaded_ += wandb_history_rows(file_in(folder));
    else
      fs::remove_all(folder);
  }
  if (id_.empty()) id_ = new_id();
}

void WandbSink::open_file() {
  // W&B orders the files of a run by their times.
  auto seconds = static_cast<std::time_t>(unix_time());
  while (fs::exists(parent_ / folder_name(seconds, id_))) ++seconds;
  const fs::path folder = parent_ / folder_name(seconds, id_);
  fs::create_directories(folder / "files");
  records_ = 0;
  file_ = std::make_unique<AppendFile>(file_in(folder), ":W&B" + little_endian(0xBEE1, 2) + little_endian(0, 1));
  const ProtoMessage version = ProtoMessage().text(1, std::string("swath ") + kVersion).text(2, "0.70.0");
  append(kHeader, ProtoMessage().message(1, version));
  ProtoMessage config;
  for (const auto& [key, value] : run_.config.items()) config.message(1, item(key, value.dump()));
  ProtoMessage message = ProtoMessage().text(1, id_).text(3, options_.project).message(4, config);
  if (!options_.group.empty()) message.text(6, options_.group);
  message.text(8, options_.name.empty() ? run_.folder.filename().string() : options_.name).text(13, host_name());
  append(kRun, message.message(17, ProtoMessage().integer(1, seconds)));
  append(kMetric, metric_on_steps());
}

void WandbSink::append(int field, const ProtoMessage& message) {
  file_->append(wandb_chunks(ProtoMessage().integer(1, ++records_).message(field, message).bytes(), file_->size()));
}

void WandbSink::write(const MetricRecord& record) {
  const std::int64_t row = rows_++;
  if (row < uploaded_) return;
  ProtoMessage message;
  for (const auto& [name, value] : record.values) message.message(1, item(tag_of(record, name), json_number(value)));
  message.message(1, item("step", Json(record.step).dump())).message(1, item("epoch", Json(record.epoch).dump()));
  message.message(1, item("_step", std::to_string(row)));
  message.message(1, item("_runtime", json_number(record.time - run_.started)));
  message.message(1, item("_timestamp", json_number(record.time)));
  append(kHistory, message.message(2, ProtoMessage().integer(1, row)));
}

void WandbSink::validated(const Json& summary) {
  append(kSummary, summary_message(summary));
  if (!sync_ || sync_->running()) return;
  append(kExit, ProtoMessage().integer(1, 0).integer(3, 1));  // the run goes on
  upload();
  open_file();
}

void WandbSink::upload() {
  waiting_.push_back(file_->path());
  std::erase_if(waiting_, [](const fs::path& file) { return fs::exists(marker_of(file)); });
  sync_->start(waiting_);
}

void WandbSink::finish(ExitCode code, const Json& summary) {
  append(kSummary, summary_message(summary));
  append(kExit, ProtoMessage().integer(1, static_cast<int>(code)));
  if (!sync_) return;
  const auto limit = code == ExitCode::preempted ? std::chrono::seconds(0) : kLastUpload;
  if (!sync_->wait(limit)) return;
  upload();
  sync_->wait(limit);
}

}  // namespace swath
