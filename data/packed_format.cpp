#include "data/packed_format.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>

#include "data/file.h"
#include "engine/core/config.h"
#include "engine/core/error.h"

namespace swath {

namespace {
constexpr int kVersion = 1;
constexpr std::size_t kMaxSidecarBytes = std::size_t{1} << 30;
constexpr std::int64_t kBlockBytes = std::int64_t{16} << 20;

Json to_json(const PackedInfo& info) {
  Json labels = Json::array(), sums = Json::array(), skipped = Json::array();
  for (std::int64_t i = 0; i < info.labels.rows(); ++i) {
    Json row = Json::array();
    for (std::int64_t c = 0; c < info.labels.classes(); ++c)
      if (info.labels.has(i, c)) row.push_back(c);
    labels.push_back(std::move(row));
  }
  for (const std::uint64_t sum : info.checksums) sums.push_back(fmt::format("{:016x}", sum));
  for (const auto& entry : info.report.unreadable) skipped.push_back(Json{{"file", entry.file}, {"reason", entry.reason}});
  return Json{{"version", info.version},
              {"dataset", info.dataset},
              {"part", info.part},
              {"note", info.note},
              {"rows", info.ids.size()},
              {"height", info.image.height},
              {"width", info.image.width},
              {"channels", info.image.channels},
              {"dtype", kernels::name_of(info.image.dtype)},
              {"bands", info.image.bands},
              {"classes", info.class_names},
              {"fingerprint", fmt::format("{:016x}", info.fingerprint)},
              {"block_rows", info.block_rows},
              {"checksums", std::move(sums)},
              {"unreadable", std::move(skipped)},
              {"without_class", info.report.without_class},
              {"unlisted", info.report.unlisted},
              {"ids", info.ids},
              {"labels", std::move(labels)}};
}

std::uint64_t parse_hex(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size() || text.size() != 16) throw DataError("a checksum is malformed");
  return value;
}

std::int64_t extent(const Json& json, const char* key, std::int64_t limit) {
  const auto value = json.at(key).get<std::int64_t>();
  if (value < 1 || value > limit) throw DataError(fmt::format("{} is {}, not in 1 … {}", key, value, limit));
  return value;
}

void parse_labels(const Json& list, std::int64_t rows, std::int64_t classes, LabelMasks& out) {
  if (static_cast<std::int64_t>(list.size()) != rows)
    throw DataError(fmt::format("{} label rows for {} images", list.size(), rows));
  out = LabelMasks(0, classes);
  for (const Json& row : list) {
    const auto columns = row.get<std::vector<std::int64_t>>();
    if (std::any_of(columns.begin(), columns.end(), [&](std::int64_t c) { return c < 0 || c >= classes; }))
      throw DataError("a label is not the number of a class");
    out.append_row(columns);
  }
}

PackedInfo from_json(const Json& json) {
  PackedInfo info;
  info.version = json.at("version").get<int>();
  if (info.version != kVersion)
    throw DataError(fmt::format("its format is version {}, this program reads {}", info.version, kVersion));
  info.dataset = json.at("dataset").get<std::string>();
  info.part = json.at("part").get<std::string>();
  info.note = json.at("note").get<std::string>();
  const std::int64_t rows = extent(json, "rows", std::int64_t{1} << 40);
  info.image.height = extent(json, "height", 65536);
  info.image.width = extent(json, "width", 65536);
  info.image.channels = extent(json, "channels", 1024);
  const auto dtype = json.at("dtype").get<std::string>();
  if (dtype != "u8" && dtype != "u16") throw DataError(fmt::format("its dtype is {}, not u8 or u16", dtype));
  info.image.dtype = dtype == "u8" ? kernels::DType::u8 : kernels::DType::u16;
  info.image.bands = json.at("bands").get<std::vector<std::string>>();
  info.class_names = json.at("classes").get<std::vector<std::string>>();
  info.ids = json.at("ids").get<std::vector<std::string>>();
  info.fingerprint = parse_hex(json.at("fingerprint").get<std::string>());
  info.block_rows = extent(json, "block_rows", std::int64_t{1} << 40);
  for (const Json& sum : json.at("checksums")) info.checksums.push_back(parse_hex(sum.get<std::string>()));
  for (const Json& entry : json.at("unreadable"))
    info.report.unreadable.push_back({entry.at("file").get<std::string>(), entry.at("reason").get<std::string>()});
  info.report.without_class = json.at("without_class").get<std::int64_t>();
  info.report.unlisted = json.at("unlisted").get<std::int64_t>();
  if (static_cast<std::int64_t>(info.ids.size()) != rows)
    throw DataError(fmt::format("{} ids for {} rows", info.ids.size(), rows));
  if (static_cast<std::int64_t>(info.image.bands.size()) != info.image.channels)
    throw DataError("bands and channels differ in number");
  if (info.class_names.empty()) throw DataError("it names no class");
  if (static_cast<std::int64_t>(info.checksums.size()) != (rows - 1) / info.block_rows + 1)
    throw DataError("checksums are missing");
  parse_labels(json.at("labels"), rows, static_cast<std::int64_t>(info.class_names.size()), info.labels);
  return info;
}

}  // namespace

std::int64_t block_rows_of(const ImageSpec& image) {
  return std::max<std::int64_t>(1, kBlockBytes / static_cast<std::int64_t>(image.bytes()));
}

std::string packed_header(const ImageSpec& image, std::int64_t rows) {
  constexpr std::size_t kPrefix = 10, kAlignment = 64;
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}, {}, {}, {}), }}",
                  image.dtype == kernels::DType::u8 ? "|u1" : "<u2", rows, image.height, image.width, image.channels);
  // At least 128 bytes in all, so that the pixels begin at the same place for any number of rows.
  const std::size_t whole = std::max<std::size_t>(128, (kPrefix + text.size() + 1 + kAlignment - 1) / kAlignment * kAlignment);
  text.resize(whole - kPrefix - 1, ' ');
  text += '\n';
  const std::string magic("\x93NUMPY\x01\x00", 8);
  return magic + static_cast<char>(text.size() & 0xff) + static_cast<char>(text.size() >> 8) + text;
}

std::string sidecar_text(const PackedInfo& info) {
  const Json content = to_json(info);
  const std::string text = content.dump();
  return fmt::format("{{\"checksum\":\"{:016x}\",\"content\":{}}}\n", checksum(text.data(), text.size()), text);
}

PackedInfo parse_sidecar(const std::string& text, const std::string& file) {
  try {
    const Json json = Json::parse(text);
    const std::string content = json.at("content").dump();
    if (parse_hex(json.at("checksum").get<std::string>()) != checksum(content.data(), content.size()))
      throw DataError("its checksum does not match");
    return from_json(json.at("content"));
  } catch (const nlohmann::json::exception& e) {
    throw DataError(fmt::format("{} is a damaged sidecar ({}); pack again", file, e.what()));
  } catch (const DataError& e) {
    throw DataError(fmt::format("{} is a damaged sidecar: {}; pack again", file, e.what()));
  }
}

PackedInfo read_sidecar(const std::string& stem) {
  const std::string file = stem + ".json";
  if (!is_file(file)) throw DataError(fmt::format("{} is missing, the sidecar of {}.npy; pack again", file, stem));
  return parse_sidecar(read_text(file, kMaxSidecarBytes), file);
}

}  // namespace swath
