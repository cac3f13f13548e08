// BigEarthNet v1.0 layout: <patch>/<patch>_<band>.tif and <patch>/<patch>_labels_metadata.json (methods.md §1).
#pragma once
#include <memory>

#include "data/dataset.h"

namespace swath {

/// `root` holds the patch folders. options.classes is 43 or 19. Throws UserError when the build has no GDAL.
std::unique_ptr<Dataset> open_bigearthnet(const std::string& root, const DataOptions& options);
/// Whether the folder holds at least one patch.
bool holds_patches(const std::string& root);
/// Reads the twelve bands of <folder>/<folder's name>_<band>.tif into `pixels`, image.height × image.width × 12 u16, each
/// resampled. Throws DataError that names the file, UserError when the build has no GDAL.
void read_patch(const std::string& folder, const ImageSpec& image, void* pixels);
/// Side in pixels of a band's own file: 120, 60 or 20.
std::int64_t sentinel2_side(const std::string& band);

}  // namespace swath
