#include "recipes/tracking/tensorboard.h"

#include <algorithm>

#include "recipes/tracking/crc.h"
#include "recipes/tracking/host.h"
#include "recipes/tracking/protobuf.h"

namespace swath {

namespace fs = std::filesystem;

namespace {

// Field numbers of event.proto, summary.proto and tensor.proto in TensorBoard.
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
constexpr int kStringType = 7;

constexpr const char* kPrefix = "events.out.tfevents.";

std::string masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return little_endian(static_cast<std::uint32_t>((crc >> 15 | crc << 17) + 0xA282EAD8u), 4);
}

/// One record of the file.
std::string framed(const ProtoMessage& event) {
  const std::string length = little_endian(event.bytes().size(), 8);
  return length + masked_crc(length) + event.bytes() + masked_crc(event.bytes());
}

ProtoMessage event_at(double time, std::uint64_t step) {
  return ProtoMessage().number(kWallTime, time).integer(kStep, static_cast<std::int64_t>(step));
}

std::string scalars(const MetricRecord& record) {
  ProtoMessage summary;
  for (const auto& [name, value] : record.values)
    summary.message(1, ProtoMessage().text(1, tag_of(record, name)).number(2, static_cast<float>(value)));
  return framed(event_at(record.time, record.step).message(kSummary, summary));
}

/// JSON as a code block of the text plugin.
std::string text_event(const std::string& tag, const Json& json, double time, std::uint64_t step) {
  const ProtoMessage shape = ProtoMessage().message(2, ProtoMessage().integer(1, 1));
  const ProtoMessage tensor =
      ProtoMessage().integer(1, kStringType).message(2, shape).text(8, "```json\n" + json.dump(2) + "\n```");
  const ProtoMessage plugin = ProtoMessage().message(1, ProtoMessage().text(1, "text"));
  const ProtoMessage value = ProtoMessage().text(1, tag).message(8, tensor).message(9, plugin);
  return framed(event_at(time, step).message(kSummary, ProtoMessage().message(1, value)));
}

std::vector<fs::path> event_files(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().rfind(kPrefix, 0) == 0) found.push_back(entry.path());
  return found;
}

/// A name that a TensorBoard reads after the earlier files: it goes by the names' order and never back.
std::string later_name(const std::vector<fs::path>& earlier) {
  auto seconds = static_cast<std::int64_t>(unix_time());
  for (const fs::path& file : earlier) {
    const std::string number = file.filename().string().substr(std::string(kPrefix).size(), 10);
    if (number.find_first_not_of("0123456789") == std::string::npos && number.size() == 10)
      seconds = std::max<std::int64_t>(seconds, std::stoll(number) + 1);
  }
  const std::string host = host_name();
  return fmt::format("{}{:010}.{}", kPrefix, seconds, host.empty() ? "localhost" : host);
}

}  // namespace

TensorBoardSink::TensorBoardSink(const TrackedRun& run, const std::vector<MetricRecord>& past) {
  std::string content = framed(ProtoMessage().number(kWallTime, run.started).text(kFileVersion, "brain.Event:2"));
  content += framed(event_at(run.started, 0).message(kSessionLog, ProtoMessage().integer(1, 1)));
  content += text_event("configuration", run.config, run.started, 0);
  for (const MetricRecord& record : past) {
    content += scalars(record);
    last_step_ = record.step;
  }
  const std::vector<fs::path> earlier = event_files(run.folder);
  file_ = std::make_unique<AppendFile>(run.folder / later_name(earlier), content);
  for (const fs::path& file : earlier) fs::remove(file);
}

void TensorBoardSink::write(const MetricRecord& record) {
  file_->append(scalars(record));
  last_step_ = record.step;
}

void TensorBoardSink::finish(ExitCode code, const Json& summary) {
  Json last{{"exit_code", static_cast<int>(code)}};
  last.update(summary);
  file_->append(text_event("summary", last, unix_time(), last_step_));
}

}  // namespace swath
