#include "recipes/metric_log.h"

#include <set>

#include "engine/core/config.h"
#include "engine/io/file.h"

namespace swath {

namespace fs = std::filesystem;

namespace {

constexpr const char* kJsonl = "metrics.jsonl";

Json to_json(const MetricRecord& record) {
  Json json{{"group", record.group}, {"step", record.step}, {"epoch", record.epoch}, {"time", record.time}};
  for (const auto& [name, value] : record.values) json[name] = value;
  return json;
}

MetricRecord from_json(const Json& json) {
  MetricRecord record{json.at("group"), json.at("step"), json.at("epoch"), {}, json.value("time", 0.0)};
  for (const auto& [name, value] : json.items()) {
    if (name != "group" && name != "step" && name != "epoch" && name != "time")
      record.values.emplace_back(name, value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN());
  }
  return record;
}

bool is_record(const Json& json) {
  const auto holds = [&](const char* key, auto is_type) { return json.contains(key) && is_type(json[key]); };
  const auto text = [](const Json& value) { return value.is_string(); };
  const auto count = [](const Json& value) { return value.is_number_integer(); };
  return json.is_object() && holds("group", text) && holds("step", count) && holds("epoch", count) &&
         (!json.contains("time") || json["time"].is_number());
}

std::string csv_header(const MetricRecord& record) {
  std::string line = "step,epoch";
  for (const auto& [name, value] : record.values) line += "," + name;
  return line;
}

}  // namespace

MetricLog::MetricLog(fs::path folder) : folder_(std::move(folder)) {}

std::string MetricLog::csv_line(const MetricRecord& record) const {
  std::string line = fmt::format("{},{}", record.step, record.epoch);
  for (const auto& [name, value] : record.values) line += fmt::format(",{}", value);
  return line;
}

void MetricLog::append(const fs::path& file, const std::string& line) {
  std::ofstream out(file, std::ios::app);
  out << line << '\n' << std::flush;
  if (!out) throw DataError(fmt::format("cannot write {}; free some space on its disk and resume", file.string()));
}

void MetricLog::write(const MetricRecord& record) {
  append(folder_ / kJsonl, to_json(record).dump());
  const fs::path csv = folder_ / (record.group + ".csv");
  if (!fs::exists(csv)) append(csv, csv_header(record));
  append(csv, csv_line(record));
}

std::vector<MetricRecord> MetricLog::read(std::int64_t* damaged) const {
  std::vector<MetricRecord> records;
  std::int64_t others = 0;
  std::ifstream in(folder_ / kJsonl);
  for (std::string line; std::getline(in, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (is_record(json)) {
      records.push_back(from_json(json));
    } else if (!in.eof()) {  // the last line may be under way
      ++others;
    }
  }
  if (damaged) *damaged = others;
  return records;
}

void MetricLog::truncate(std::uint64_t step, std::int64_t validated_epoch) {
  std::vector<MetricRecord> kept = read();
  std::erase_if(kept, [=](const MetricRecord& record) {
    return record.step > step || (record.group != "train" && record.epoch > validated_epoch);
  });
  rewrite(kept);
}

void MetricLog::clear() { rewrite({}); }

void MetricLog::rewrite(const std::vector<MetricRecord>& kept) {
  std::set<std::string> groups;
  for (const MetricRecord& record : read()) groups.insert(record.group);
  std::map<std::string, std::string> texts{{kJsonl, ""}};
  for (const std::string& group : groups) texts[group + ".csv"] = "";
  for (const MetricRecord& record : kept) {
    texts[kJsonl] += to_json(record).dump() + "\n";
    std::string& csv = texts[record.group + ".csv"];
    if (csv.empty()) csv = csv_header(record) + "\n";
    csv += csv_line(record) + "\n";
  }
  for (const auto& [name, text] : texts) {
    const fs::path file = folder_ / name;
    if (text.empty()) {
      fs::remove(file);
    } else {
      atomic_write(file.string(), text);
    }
  }
}

}  // namespace swath
