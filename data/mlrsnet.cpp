#include "data/mlrsnet.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/dataset_builder.h"
#include "data/file.h"
#include "data/label_csv.h"
#include "data/rgb_file.h"
#include "engine/core/error.h"

namespace swath {

namespace {

struct Category {
  std::string name;
  std::vector<std::string> class_names;
  std::vector<LabelCsv::Row> rows;
};

class Mlrsnet final : public Dataset {
 public:
  Mlrsnet(const std::string& root, const DataOptions& options) {
    name_ = "mlrsnet";
    root_ = root;
    const std::int64_t side = options.image_size > 0 ? options.image_size : 256;
    image_ = {.height = side, .width = side, .channels = 3, .dtype = kernels::DType::u8, .bands = rgb_bands()};
    std::vector<Category> categories = read_labels(options);
    collect(categories, options);
  }

  void read(std::int64_t i, void* pixels) const override {
    read_rgb(root_ + "/Images/" + ids_[static_cast<std::size_t>(i)], image_.height, image_.width,
             static_cast<std::uint8_t*>(pixels));
  }

 private:
  std::vector<Category> read_labels(const DataOptions& options) {
    std::vector<Category> categories;
    std::int64_t files = 0, bad_files = 0, rows = 0;
    std::vector<SkipReport::Entry> bad_rows;
    for (const std::string& file : list_folder(root_ + "/labels")) {
      if (file.size() < 5 || file.substr(file.size() - 4) != ".csv") continue;
      ++files;
      Category category{.name = file.substr(0, file.size() - 4), .class_names = {}, .rows = {}};
      try {
        LabelCsv csv(root_ + "/labels/" + file);
        category.class_names = csv.class_names();
        for (LabelCsv::Row row; csv.next(row, bad_rows); ++rows) {
          check_name(row.path, csv.where());
          category.rows.push_back(row);
        }
        categories.push_back(std::move(category));
      } catch (const UnsafePath&) {
        throw;
      } catch (const DataError& e) {
        ++bad_files;
        report_.unreadable.push_back({"labels/" + file, e.what()});
      }
    }
    if (files == 0) throw DataError(fmt::format("{}/labels holds no .csv file; each category needs <category>.csv", root_));
    require_readable(report_, bad_files, files, options.max_unreadable_share, "label files");
    const auto bad = static_cast<std::int64_t>(bad_rows.size());
    report_.unreadable.insert(report_.unreadable.end(), bad_rows.begin(), bad_rows.end());
    require_readable(report_, bad, rows + bad, options.max_unreadable_share, "label rows");
    return categories;
  }

  static void check_name(const std::string& name, const std::string& where) {
    safe_join("", name, where);
    if (name.find('/') != std::string::npos)
      throw UnsafePath(
          fmt::format("{}: the image name \"{}\" holds a slash; images lie in their category's folder", where, name));
  }

  void collect(const std::vector<Category>& categories, const DataOptions& options) {
    std::vector<std::string> all;
    for (const Category& c : categories) all.insert(all.end(), c.class_names.begin(), c.class_names.end());
    class_names_ = sorted_names(all);
    std::vector<LabelledImage> images;
    std::int64_t missing = 0, listed = 0;
    for (const Category& category : categories) {
      const std::string folder = root_ + "/Images/" + category.name;
      const std::vector<std::string> present = is_folder(folder) ? list_folder(folder) : std::vector<std::string>{};
      std::vector<std::int64_t> columns;
      for (const std::string& name : category.class_names) columns.push_back(name_index(class_names_, name));
      for (const LabelCsv::Row& row : category.rows) {
        ++listed;
        if (!std::binary_search(present.begin(), present.end(), row.path)) {
          ++missing;
          report_.unreadable.push_back({category.name + "/" + row.path, "has labels but no image file"});
          continue;
        }
        LabelledImage image{.id = category.name + "/" + row.path, .classes = {}};
        for (const std::int64_t c : row.columns) image.classes.push_back(columns[static_cast<std::size_t>(c)]);
        images.push_back(std::move(image));
      }
      report_.unlisted += std::max<std::int64_t>(
          0, static_cast<std::int64_t>(present.size()) - static_cast<std::int64_t>(category.rows.size()));
    }
    require_readable(report_, missing, listed, options.max_unreadable_share, "images");
    sort_images(images, static_cast<std::int64_t>(class_names_.size()), root_, ids_, labels_, report_);
  }
};

}  // namespace

std::unique_ptr<Dataset> open_mlrsnet(const std::string& root, const DataOptions& options) {
  return std::make_unique<Mlrsnet>(root, options);
}

}  // namespace swath
