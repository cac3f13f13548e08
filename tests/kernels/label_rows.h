// Multi-hot rows for the cases of label kernels: as sets of classes and as the bit masks that kernels take.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/label_mask.h"
#include "tests/kernels/kernel_case.h"
#include "tests/reference/multilabel_semihard.h"

namespace swath::kernels::test {

/// Rows that carry each class with the given chance, fixed by the seed. A chance well below 1 / classes leaves rows empty.
inline reference::LabelSets random_labels(std::int64_t rows, std::int64_t classes, double chance, std::uint64_t seed) {
  reference::LabelSets labels(static_cast<std::size_t>(rows));
  const std::vector<float> draws = random_floats(rows * classes, seed, 0, 1);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int32_t c = 0; c < classes; ++c) {
      if (static_cast<double>(draws[i * classes + c]) < chance) labels[i].insert(c);
    }
  }
  return labels;
}

/// rows × label_words(classes). Bits from `classes` on are set, because kernels ignore them.
inline std::vector<std::uint64_t> masks_of(const reference::LabelSets& labels, std::int64_t classes) {
  const std::int64_t words = label_words(classes);
  std::vector<std::uint64_t> masks(labels.size() * static_cast<std::size_t>(words), 0);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    std::uint64_t* row = masks.data() + i * static_cast<std::size_t>(words);
    for (const std::int32_t c : labels[i]) row[c / 64] |= std::uint64_t{1} << (c % 64);
    for (std::int64_t c = classes; c < 64 * words; ++c) row[c / 64] |= std::uint64_t{1} << (c % 64);
  }
  return masks;
}

}  // namespace swath::kernels::test
