// What the three layouts share while they open: sorted unique ids, classless images, the share of unreadable files.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"

namespace swath {

struct LabelledImage {
  std::string id;
  std::vector<std::int64_t> classes;  // may be empty
};

/// Sorts by id, drops and counts images without a class, refuses ids that occur twice; fills ids and labels.
void sort_images(std::vector<LabelledImage>& images, std::int64_t classes, const std::string& root,
                 std::vector<std::string>& ids, LabelMasks& labels, SkipReport& report);

/// Throws DataError that names the first entry when `bad` of `total` exceeds `share`; logs a warning otherwise if any.
void require_readable(const SkipReport& report, std::int64_t bad, std::int64_t total, double share, const std::string& what);

/// The sorted class names without repetition, and where each name stands.
std::vector<std::string> sorted_names(const std::vector<std::string>& names);
std::int64_t name_index(const std::vector<std::string>& sorted, const std::string& name);

}  // namespace swath
