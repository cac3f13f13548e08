// Images of any folder, without labels: what a search indexes and asks for.
#pragma once
#include <string>
#include <vector>

#include "data/dataset.h"

namespace swath {

/// The images below `root` that read_image may read, relative to it, sorted. Of RGB: files that end in .jpg, .jpeg or .png, in
/// any case. Of Sentinel-2's twelve bands: folders that hold <name>_B01.tif. Links to folders are not followed. Names that hold
/// a control character go into `skipped`. Throws DataError when the folder is missing or cannot be listed, UserError for an
/// image of another form.
std::vector<std::string> list_images(const std::string& root, const ImageSpec& image, std::vector<SkipReport::Entry>& skipped);

/// One image as a dataset would read it: a JPEG or PNG file, or a patch folder, resampled to image.height × image.width.
/// Thread-safe. Throws DataError that names the file, UserError for an image of another form.
void read_image(const std::string& path, const ImageSpec& image, void* pixels);

/// Whether images of this form are JPEG and PNG files: three channels of u8.
bool is_rgb(const ImageSpec& image);

}  // namespace swath
