#include "data/label_npy.h"

#include <fmt/format.h>

#include <vector>

#include "engine/core/error.h"

namespace swath {

void write_label_npy(const std::string& file, const LabelMasks& labels) {
  std::vector<std::uint8_t> hot(static_cast<std::size_t>(labels.rows() * labels.classes()));
  for (std::int64_t i = 0; i < labels.rows(); ++i)
    for (std::int64_t c = 0; c < labels.classes(); ++c)
      hot[static_cast<std::size_t>(i * labels.classes() + c)] = labels.has(i, c) ? 1 : 0;
  write_npy(file, {labels.rows(), labels.classes()}, hot.data());
}

LabelMasks read_label_npy(const NpyFile& npy, const std::string& file) {
  const std::int64_t rows = npy.shape().at(0), classes = npy.shape().at(1);
  const std::vector<std::uint8_t> hot = npy.values<std::uint8_t>();
  LabelMasks labels(rows, classes);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t c = 0; c < classes; ++c) {
      const std::uint8_t value = hot[static_cast<std::size_t>(i * classes + c)];
      if (value > 1) throw DataError(fmt::format("{} must hold 0 and 1; row {} holds {}", file, i, value));
      if (value) labels.set(i, c);
    }
  }
  return labels;
}

}  // namespace swath
