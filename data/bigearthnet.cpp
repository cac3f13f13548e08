#include "data/bigearthnet.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "data/corine.h"
#include "data/dataset_builder.h"
#include "data/file.h"
#include "data/geotiff.h"
#include "data/workers.h"
#include "engine/core/error.h"

namespace swath {

namespace {

constexpr std::size_t kMaxLabelBytes = std::size_t{1} << 20;

std::string label_file(const std::string& patch) { return patch + "/" + patch + "_labels_metadata.json"; }

/// Indices into corine_43; throws DataError with the reason.
std::vector<std::int64_t> parse_labels(const std::string& path) {
  const std::string text = read_text(path, kMaxLabelBytes);
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) throw DataError("not one JSON object (malformed, or text after it)");
  const auto labels = json.is_object() ? json.find("labels") : json.end();
  if (!json.is_object() || labels == json.end() || !labels->is_array()) throw DataError("no list under the key \"labels\"");
  std::vector<std::int64_t> classes;
  for (const auto& label : *labels) {
    const std::int64_t c = label.is_string() ? corine_index(label.get<std::string>()) : -1;
    if (c < 0) throw DataError(fmt::format("{} is not a CORINE level-3 name", label.dump().substr(0, 80)));
    classes.push_back(c);
  }
  return classes;
}

class BigEarthNet final : public Dataset {
 public:
  BigEarthNet(const std::string& root, const DataOptions& options) {
    if (options.classes != 43 && options.classes != 19)
      throw UserError(fmt::format("data.classes must be 43 or 19 for BigEarthNet, not {}", options.classes));
    name_ = fmt::format("bigearthnet-{}", options.classes);
    root_ = root;
    class_names_ = options.classes == 43 ? corine_43() : corine_19();
    const std::int64_t side = options.image_size > 0 ? options.image_size : 120;
    image_ = {.height = side, .width = side, .channels = 12, .dtype = kernels::DType::u16, .bands = sentinel2_bands()};
    collect(options);
  }

  void read(std::int64_t i, void* pixels) const override {
    read_patch(root_ + "/" + ids_[static_cast<std::size_t>(i)], image_, pixels);
  }

 private:
  struct Outcome {
    std::vector<std::int64_t> classes;
    std::string reason;  // empty when readable
  };

  void collect(const DataOptions& options) {
    std::vector<std::string> patches;
    for (const std::string& name : list_folder(root_))
      if (name.front() != '.' && is_folder(root_ + "/" + name)) patches.push_back(name);
    if (patches.empty()) throw DataError(fmt::format("{} holds no patch folder", root_));
    const auto n = static_cast<std::int64_t>(patches.size());
    std::vector<Outcome> outcomes(patches.size());
    run_workers(n, {}, [&](std::int64_t i, int) {
      Outcome& outcome = outcomes[static_cast<std::size_t>(i)];
      try {
        outcome.classes = parse_labels(root_ + "/" + label_file(patches[static_cast<std::size_t>(i)]));
      } catch (const DataError& e) {
        outcome.reason = e.what();
      }
    });
    std::vector<LabelledImage> images;
    for (std::size_t i = 0; i < patches.size(); ++i) {
      if (!outcomes[i].reason.empty()) {
        report_.unreadable.push_back({label_file(patches[i]), outcomes[i].reason});
        continue;
      }
      images.push_back({patches[i], nomenclature(outcomes[i].classes, options.classes)});
    }
    require_readable(report_, static_cast<std::int64_t>(report_.unreadable.size()), n, options.max_unreadable_share,
                     "label files");
    sort_images(images, options.classes, root_, ids_, labels_, report_);
  }

  static std::vector<std::int64_t> nomenclature(const std::vector<std::int64_t>& of_43, int classes) {
    if (classes == 43) return of_43;
    std::vector<std::int64_t> of_19;
    for (const std::int64_t c : of_43) {
      const std::int64_t mapped = corine_43_to_19()[static_cast<std::size_t>(c)];
      if (mapped >= 0) of_19.push_back(mapped);
    }
    return of_19;
  }
};

}  // namespace

std::int64_t sentinel2_side(const std::string& band) {
  if (band == "B01" || band == "B09") return 20;
  return band == "B02" || band == "B03" || band == "B04" || band == "B08" ? 120 : 60;
}

void read_patch(const std::string& folder, const ImageSpec& image, void* pixels) {
  require_geotiff("reading a Sentinel-2 patch");
  const std::size_t end = folder.find_last_not_of('/') + 1, begin = folder.rfind('/', end - 1) + 1;
  const std::string stem = folder.substr(0, end) + "/" + folder.substr(begin, end - begin) + "_";
  for (std::int64_t b = 0; b < image.channels; ++b) {
    const std::string& band = image.bands[static_cast<std::size_t>(b)];
    const std::int64_t own = sentinel2_side(band);
    read_geotiff(
        stem + band + ".tif", {.height = own, .width = own, .bands = 1, .dtype = kernels::DType::u16, .descriptions = {}},
        {.height = image.height, .width = image.width, .channels = image.channels, .first_channel = b, .pixels = pixels});
  }
}

bool holds_patches(const std::string& root) {
  for (const std::string& name : list_folder(root))
    if (is_file(root + "/" + label_file(name))) return true;
  return false;
}

std::unique_ptr<Dataset> open_bigearthnet(const std::string& root, const DataOptions& options) {
  require_geotiff("reading BigEarthNet");
  return std::make_unique<BigEarthNet>(root, options);
}

}  // namespace swath
