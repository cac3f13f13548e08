#include "data/labels.h"

#include <bit>

#include "engine/core/error.h"

namespace swath {

LabelMasks::LabelMasks(std::int64_t rows, std::int64_t classes) : rows_(rows), classes_(classes), words_((classes + 63) / 64) {
  bits_.resize(static_cast<std::size_t>(rows_ * words_));
}

std::int64_t LabelMasks::count(std::int64_t i) const {
  std::int64_t n = 0;
  for (std::int64_t w = 0; w < words_; ++w) n += std::popcount(row(i)[w]);
  return n;
}

LabelMasks LabelMasks::select(const std::vector<std::int64_t>& rows, const std::vector<std::int64_t>& classes) const {
  LabelMasks out(static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(classes.size()));
  for (std::int64_t i = 0; i < out.rows_; ++i)
    for (std::int64_t c = 0; c < out.classes_; ++c)
      if (has(rows[static_cast<std::size_t>(i)], classes[static_cast<std::size_t>(c)])) out.set(i, c);
  return out;
}

std::vector<std::int64_t> LabelMasks::images_per_class() const {
  std::vector<std::int64_t> images(static_cast<std::size_t>(classes_));
  for (std::int64_t i = 0; i < rows_; ++i)
    for (std::int64_t c = 0; c < classes_; ++c) images[static_cast<std::size_t>(c)] += has(i, c);
  return images;
}

void LabelMasks::append_row(const std::vector<std::int64_t>& classes_of_row) {
  bits_.resize(bits_.size() + static_cast<std::size_t>(words_));
  ++rows_;
  for (const std::int64_t c : classes_of_row) {
    SWATH_CHECK(c >= 0 && c < classes_, "class {} of {}", c, classes_);
    set(rows_ - 1, c);
  }
}

LabelStatistics label_statistics(const LabelMasks& labels) {
  LabelStatistics s;
  s.images = labels.images_per_class();
  const double n = static_cast<double>(labels.rows());
  for (const std::int64_t images : s.images) s.share.push_back(n > 0 ? static_cast<double>(images) / n : 0);
  for (std::int64_t i = 0; i < labels.rows(); ++i) {
    const std::int64_t k = labels.count(i);
    if (k >= static_cast<std::int64_t>(s.label_counts.size())) s.label_counts.resize(static_cast<std::size_t>(k + 1));
    ++s.label_counts[static_cast<std::size_t>(k)];
    s.mean_labels += static_cast<double>(k) / n;
  }
  const std::int64_t classes = labels.classes();
  s.together.resize(static_cast<std::size_t>(classes * classes));
  std::vector<std::int64_t> present;
  for (std::int64_t i = 0; i < labels.rows(); ++i) {
    present.clear();
    for (std::int64_t c = 0; c < classes; ++c)
      if (labels.has(i, c)) present.push_back(c);
    for (const std::int64_t a : present)
      for (const std::int64_t b : present) ++s.together[static_cast<std::size_t>(a * classes + b)];
  }
  return s;
}

}  // namespace swath
