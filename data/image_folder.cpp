#include "data/image_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "data/bigearthnet.h"
#include "data/file.h"
#include "data/rgb_file.h"

namespace swath {

namespace {

namespace fs = std::filesystem;

void require_form(const ImageSpec& image) {
  const bool patches = image.dtype == kernels::DType::u16 && image.bands == sentinel2_bands();
  if (!is_rgb(image) && !patches)
    throw UserError(fmt::format("images with {} bands of {} are read from an archive only; name a part of it with --part",
                                image.channels, kernels::name_of(image.dtype)));
}

bool has_image_ending(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return c < 0x80 ? std::tolower(c) : c; });
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png";
}

bool is_image(const fs::directory_entry& entry, const ImageSpec& image) {
  std::error_code error;
  if (is_rgb(image)) return entry.is_regular_file(error) && has_image_ending(entry.path());
  return entry.is_directory(error) && is_file((entry.path() / (entry.path().filename().string() + "_B01.tif")).string());
}

bool is_printable(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

}  // namespace

bool is_rgb(const ImageSpec& image) { return image.channels == 3 && image.dtype == kernels::DType::u8; }

std::vector<std::string> list_images(const std::string& root, const ImageSpec& image, std::vector<SkipReport::Entry>& skipped) {
  require_form(image);
  if (!is_folder(root)) throw DataError(fmt::format("the folder {} does not exist", root));
  std::vector<std::string> found;
  std::error_code error;
  const auto options = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator it(root, options, error), end; !error && it != end; it.increment(error)) {
    if (!is_image(*it, image)) continue;
    std::string name = it->path().lexically_relative(root).string();
    if (is_printable(name))
      found.push_back(std::move(name));
    else
      skipped.push_back({std::move(name), "the name holds a control character"});
  }
  if (error) throw DataError(fmt::format("the folder {} cannot be listed: {}", root, error.message()));
  std::sort(found.begin(), found.end());
  return found;
}

void read_image(const std::string& path, const ImageSpec& image, void* pixels) {
  require_form(image);
  if (is_rgb(image)) return read_rgb(path, image.height, image.width, static_cast<std::uint8_t*>(pixels));
  if (!is_folder(path)) throw DataError(fmt::format("{} is no patch folder, which holds a GeoTIFF file for every band", path));
  read_patch(path, image, pixels);
}

}  // namespace swath
