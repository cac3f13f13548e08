// Any other archive: a CSV with `path,<class>,…` and multi-hot rows, images below the root as JPEG, PNG or GeoTIFF.
#pragma once
#include <memory>

#include "data/dataset.h"

namespace swath {

/// options.manifest is a path below `root`. Every image must be JPEG or PNG, or every image GeoTIFF of one band count and type.
std::unique_ptr<Dataset> open_manifest(const std::string& root, const DataOptions& options);

}  // namespace swath
