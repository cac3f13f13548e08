#include "data/dataset.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <memory>

#include "data/bigearthnet.h"
#include "data/dataset_builder.h"
#include "data/file.h"
#include "data/manifest.h"
#include "data/mlrsnet.h"
#include "engine/core/error.h"
#include "engine/core/log.h"

namespace swath {

const std::vector<std::string>& rgb_bands() {
  static const std::vector<std::string> bands = {"R", "G", "B"};
  return bands;
}

const std::vector<std::string>& sentinel2_bands() {
  static const std::vector<std::string> bands = {"B01", "B02", "B03", "B04", "B05", "B06",
                                                 "B07", "B08", "B8A", "B09", "B11", "B12"};
  return bands;
}

void require_same_names(const std::vector<std::string>& wanted, const std::vector<std::string>& got, const std::string& what) {
  if (wanted == got) return;
  if (wanted.size() != got.size())
    throw DataError(fmt::format("{}: {} names, where {} are expected", what, got.size(), wanted.size()));
  const auto [a, b] = std::mismatch(wanted.begin(), wanted.end(), got.begin());
  throw DataError(fmt::format("{}: number {} is \"{}\", where \"{}\" is expected", what, a - wanted.begin() + 1, *b, *a));
}

std::uint64_t Dataset::fingerprint() const {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
  SWATH_CHECK(state != nullptr);
  XXH3_64bits_reset(state.get());
  const auto number = [&](std::int64_t v) { XXH3_64bits_update(state.get(), &v, sizeof v); };
  const auto text = [&](const std::string& v) {
    number(static_cast<std::int64_t>(v.size()));
    XXH3_64bits_update(state.get(), v.data(), v.size());
  };
  text(name_);
  for (const std::int64_t v : {image_.height, image_.width, image_.channels, static_cast<std::int64_t>(image_.dtype)})
    number(v);
  for (const auto* list : {&image_.bands, &class_names_, &ids_}) {
    number(static_cast<std::int64_t>(list->size()));
    for (const std::string& v : *list) text(v);
  }
  XXH3_64bits_update(state.get(), labels_.data(), static_cast<std::size_t>(labels_.rows() * labels_.words()) * 8);
  return XXH3_64bits_digest(state.get());
}

std::vector<std::string> sorted_names(const std::vector<std::string>& names) {
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  return sorted;
}

std::int64_t name_index(const std::vector<std::string>& sorted, const std::string& name) {
  return std::lower_bound(sorted.begin(), sorted.end(), name) - sorted.begin();
}

void sort_images(std::vector<LabelledImage>& images, std::int64_t classes, const std::string& root,
                 std::vector<std::string>& ids, LabelMasks& labels, SkipReport& report) {
  std::sort(images.begin(), images.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  const auto twice =
      std::adjacent_find(images.begin(), images.end(), [](const auto& a, const auto& b) { return a.id == b.id; });
  if (twice != images.end()) throw DataError(fmt::format("{}: the image {} is listed twice", root, twice->id));
  labels = LabelMasks(0, classes);
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (images[i].classes.empty()) {
      ++report.without_class;
      continue;
    }
    labels.append_row(images[i].classes);
    ids.push_back(std::move(images[i].id));
  }
  if (report.without_class > 0) log::info("{}: {} images without a class left out", root, report.without_class);
  if (ids.empty()) throw DataError(fmt::format("{} holds no image with a label", root));
}

void require_readable(const SkipReport& report, std::int64_t bad, std::int64_t total, double share, const std::string& what) {
  if (bad == 0) return;
  const SkipReport::Entry& entry = report.unreadable[report.unreadable.size() - static_cast<std::size_t>(bad)];
  const double got = static_cast<double>(bad) / static_cast<double>(total);
  const std::string summary =
      fmt::format("{} of {} {} are unreadable, the first: {} ({})", bad, total, what, entry.file, entry.reason);
  if (got > share)
    throw DataError(fmt::format("{}; that is {:.1f} %, more than data.max_unreadable_share allows ({:.1f} %)", summary,
                                100 * got, 100 * share));
  log::warn("{}; skipped", summary);
}

namespace {

/// The folder of the layout: `root` itself, or the archive's own folder below it.
std::string descend(const std::string& root, const char* folder) {
  const std::string below = root + "/" + folder;
  return is_folder(below) ? below : root;
}

bool is_mlrsnet(const std::string& root) { return is_folder(root + "/Images") && is_folder(root + "/labels"); }

std::string detect(const std::string& root, const std::string& manifest) {
  if (is_mlrsnet(descend(root, "MLRSNet"))) return "mlrsnet";
  if (is_file(root + "/" + manifest)) return "csv";
  if (holds_patches(descend(root, "BigEarthNet"))) return "bigearthnet";
  throw DataError(fmt::format("{} is no archive: neither Images/ and labels/ (MLRSNet) nor patch folders (BigEarthNet) nor {}",
                              root, manifest));
}

}  // namespace

std::unique_ptr<Dataset> open_dataset(const DataOptions& options) {
  if (options.root.empty())
    throw UserError("data.root is not set; give the folder of the archive, for example --set data.root=FOLDER");
  if (!is_folder(options.root)) throw DataError(fmt::format("the folder {} (data.root) does not exist", options.root));
  const std::string format = options.format == "auto" ? detect(options.root, options.manifest) : options.format;
  if (format == "csv") return open_manifest(options.root, options);
  if (format == "bigearthnet") return open_bigearthnet(descend(options.root, "BigEarthNet"), options);
  if (format != "mlrsnet")
    throw UserError(fmt::format("data.format must be auto, mlrsnet, bigearthnet or csv, not {}", format));
  const std::string root = descend(options.root, "MLRSNet");
  if (!is_mlrsnet(root)) throw DataError(fmt::format("{} holds no Images/ and labels/, the MLRSNet layout", root));
  return open_mlrsnet(root, options);
}

}  // namespace swath
