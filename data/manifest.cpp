#include "data/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "data/dataset_builder.h"
#include "data/file.h"
#include "data/geotiff.h"
#include "data/label_csv.h"
#include "data/rgb_file.h"
#include "engine/core/error.h"

namespace swath {

namespace {

bool is_tiff(const std::string& path) {
  std::string ending = path.substr(path.find_last_of('.') + 1);
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == "tif" || ending == "tiff";
}

class Manifest final : public Dataset {
 public:
  Manifest(const std::string& root, const DataOptions& options) {
    name_ = "csv";
    root_ = root;
    collect(options);
    const std::int64_t side = options.image_size > 0 ? options.image_size : 256;
    image_ = {.height = side, .width = side, .channels = 3, .dtype = kernels::DType::u8, .bands = rgb_bands()};
    tiff_ = !ids_.empty() && is_tiff(ids_[0]);
    for (const std::string& id : ids_)
      if (is_tiff(id) != tiff_)
        throw DataError(
            fmt::format("{} lists GeoTIFF and other images together ({} and {}); use one kind", options.manifest, ids_[0], id));
    if (tiff_) take_form_of_first();
  }

  void read(std::int64_t i, void* pixels) const override {
    const std::string path = root_ + "/" + ids_[static_cast<std::size_t>(i)];
    if (!tiff_) return read_rgb(path, image_.height, image_.width, static_cast<std::uint8_t*>(pixels));
    read_geotiff(
        path, {.height = 0, .width = 0, .bands = image_.channels, .dtype = image_.dtype, .descriptions = {}},
        {.height = image_.height, .width = image_.width, .channels = image_.channels, .first_channel = 0, .pixels = pixels});
  }

 private:
  void collect(const DataOptions& options) {
    LabelCsv csv(safe_join(root_, options.manifest, "data.manifest"));
    class_names_ = sorted_names(csv.class_names());
    std::vector<std::int64_t> columns;
    for (const std::string& name : csv.class_names()) columns.push_back(name_index(class_names_, name));
    std::vector<LabelledImage> images;
    std::int64_t bad = 0, missing = 0;
    for (LabelCsv::Row row; csv.next(row, report_.unreadable);) {
      if (!is_file(safe_join(root_, row.path, csv.where()))) {
        ++missing;
        report_.unreadable.push_back({row.path, "is listed but missing"});
        continue;
      }
      LabelledImage image{.id = row.path, .classes = {}};
      for (const std::int64_t c : row.columns) image.classes.push_back(columns[static_cast<std::size_t>(c)]);
      images.push_back(std::move(image));
    }
    bad = static_cast<std::int64_t>(report_.unreadable.size());
    require_readable(report_, bad, bad + static_cast<std::int64_t>(images.size()), options.max_unreadable_share, "rows");
    sort_images(images, static_cast<std::int64_t>(class_names_.size()), root_, ids_, labels_, report_);
  }

  /// Band count, type and names come from the first file that can be read; the others must agree.
  void take_form_of_first() {
    require_geotiff("reading GeoTIFF");
    std::string first_reason;
    for (const std::string& id : ids_) {
      try {
        const GeoTiffInfo info = geotiff_info(root_ + "/" + id);
        image_.channels = info.bands;
        image_.dtype = info.dtype;
        const bool named =
            std::none_of(info.descriptions.begin(), info.descriptions.end(), [](const auto& d) { return d.empty(); });
        image_.bands = named ? info.descriptions : std::vector<std::string>{};
        for (std::int64_t b = 1; !named && b <= info.bands; ++b) image_.bands.push_back(fmt::format("band{}", b));
        return;
      } catch (const DataError& e) {
        if (first_reason.empty()) first_reason = e.what();
      }
    }
    throw DataError(fmt::format("no image of the manifest can be read; the first: {}", first_reason));
  }

  bool tiff_ = false;
};

}  // namespace

std::unique_ptr<Dataset> open_manifest(const std::string& root, const DataOptions& options) {
  return std::make_unique<Manifest>(root, options);
}

}  // namespace swath
