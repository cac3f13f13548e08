// MLRSNet layout: Images/<category>/<name>.jpg and labels/<category>.csv (methods.md §1).
#pragma once
#include <memory>

#include "data/dataset.h"

namespace swath {

/// `root` holds Images/ and labels/. Classes are ordered by name; each label file may order its columns as it likes.
std::unique_ptr<Dataset> open_mlrsnet(const std::string& root, const DataOptions& options);

}  // namespace swath
