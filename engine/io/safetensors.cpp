#include "engine/io/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/half.h"

namespace swath {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxHeader = 16u << 20;
constexpr std::size_t kMaxTensors = 1u << 20;

std::size_t element_size(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL") return 1;
  return 0;
}

template <class T>
T load(const std::uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// Parses the header, refusing duplicate keys at any depth.
Json parse_header(const char* begin, const char* end, std::string& problem) {
  std::vector<std::set<std::string>> open;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > 3) problem = "its header is nested too deeply";
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second)
      problem = "its header has a name twice";
    return true;
  };
  Json header = Json::parse(begin, end, watch, /*allow_exceptions=*/false);
  if (header.is_discarded() || !header.is_object()) problem = "its header is not a JSON object";
  return header;
}

bool to_size(const Json& json, std::size_t& out) {
  if (!json.is_number_unsigned()) return false;
  out = json.get<std::size_t>();
  return true;
}

}  // namespace

void SafetensorsFile::refuse(const std::string& why) const {
  throw CorruptFile(fmt::format("{} is not a whole safetensors file: {}; write it again", path_, why));
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  SafetensorsFile file(path);
  file.parse();
  return file;
}

void SafetensorsFile::parse() {
  if (file_.size() < 8) refuse("it is shorter than its header's length");
  const std::uint64_t length = load<std::uint64_t>(file_.data());
  if (length > kMaxHeader) refuse("its header is longer than 16 MiB");
  if (length > file_.size() - 8) refuse("its header is cut off");
  const char* text = reinterpret_cast<const char*>(file_.data()) + 8;
  if (length == 0 || text[0] != '{') refuse("its header does not begin with {");
  std::string problem;
  const Json header = parse_header(text, text + length, problem);
  if (!problem.empty()) refuse(problem);

  const std::size_t data_begin = 8 + static_cast<std::size_t>(length), data_bytes = file_.size() - data_begin;
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__") {
      if (!json.is_object()) refuse("its metadata is not an object");
      for (const auto& [key, value] : json.items()) {
        if (!value.is_string()) refuse("its metadata holds something else than text");
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    if (entries_.size() >= kMaxTensors) refuse("it names more than a million tensors");
    if (!json.is_object() || json.size() != 3 || !json.contains("dtype") || !json.contains("shape") ||
        !json.contains("data_offsets") || !json["dtype"].is_string() || !json["shape"].is_array() ||
        !json["data_offsets"].is_array() || json["data_offsets"].size() != 2)
      refuse(fmt::format("the entry of \"{}\" is malformed", name));
    Entry entry;
    entry.dtype = json["dtype"].get<std::string>();
    std::size_t bytes = element_size(entry.dtype);
    if (bytes == 0) refuse(fmt::format("\"{}\" has the unknown type {}", name, entry.dtype));
    for (const Json& extent : json["shape"]) {
      std::size_t n = 0;
      if (!to_size(extent, n) || n > static_cast<std::size_t>(INT64_MAX) || __builtin_mul_overflow(bytes, n, &bytes))
        refuse(fmt::format("the shape of \"{}\" is impossible", name));
      entry.shape.push_back(static_cast<std::int64_t>(n));
    }
    std::size_t begin = 0, end = 0;
    if (!to_size(json["data_offsets"][0], begin) || !to_size(json["data_offsets"][1], end) || begin > end || end > data_bytes)
      refuse(fmt::format("\"{}\" lies outside the file", name));
    if (end - begin != bytes) refuse(fmt::format("the bytes of \"{}\" do not match its shape", name));
    entry.begin = data_begin + begin;
    entry.end = data_begin + end;
    entries_.emplace(name, std::move(entry));
    names_.push_back(name);
  }
  std::stable_sort(names_.begin(), names_.end(), [this](const std::string& a, const std::string& b) {
    const Entry &x = entries_.at(a), &y = entries_.at(b);
    return std::pair(x.begin, x.end) < std::pair(y.begin, y.end);
  });
  std::size_t at = data_begin;
  for (const std::string& name : names_) {
    if (entries_.at(name).begin != at) refuse(fmt::format("there is a hole or an overlap before \"{}\"", name));
    at = entries_.at(name).end;
  }
  if (at != file_.size()) refuse(fmt::format("{} bytes follow the last tensor", file_.size() - at));
}

const SafetensorsFile::Entry& SafetensorsFile::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) throw DataError(fmt::format("{} holds no tensor \"{}\"", path_, name));
  return found->second;
}

std::vector<float> SafetensorsFile::to_float(const std::string& name) const {
  const Entry& e = entry(name);
  const std::uint8_t* from = file_.data() + e.begin;
  const std::size_t size = element_size(e.dtype), count = (e.end - e.begin) / size;
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* at = from + i * size;
    if (e.dtype == "F32")
      values[i] = load<float>(at);
    else if (e.dtype == "F64")
      values[i] = static_cast<float>(load<double>(at));
    else if (e.dtype == "BF16")
      values[i] = kernels::to_float(load<kernels::bf16>(at));
    else if (e.dtype == "F16")
      values[i] = kernels::to_float(load<kernels::f16>(at));
    else
      throw DataError(fmt::format("tensor \"{}\" of {} holds {}, not floating-point numbers", name, path_, e.dtype));
  }
  return values;
}

void write_safetensors(const std::string& path, const std::vector<SafetensorsItem>& items,
                       const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t at = 0;
  for (const SafetensorsItem& item : items) {
    SWATH_CHECK(!header.contains(item.name), "{} written twice", item.name);
    header[item.name] = {{"dtype", item.dtype}, {"shape", item.shape}, {"data_offsets", {at, at + item.bytes}}};
    at += item.bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the tensors begin at a multiple of 8
  AtomicFile file(path);
  const std::uint64_t length = text.size();
  file.write(&length, sizeof length);
  file.write(text.data(), text.size());
  std::vector<std::uint8_t> buffer;
  for (const SafetensorsItem& item : items) {
    buffer.resize(item.bytes);
    item.fill(buffer.data());
    file.write(buffer.data(), buffer.size());
  }
  file.commit();
}

}  // namespace swath
