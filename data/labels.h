// Multi-hot labels of n images as bit masks, n × words u64, and what `stats` prints about them (methods.md §8).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace swath {

/// Row i is `words()` u64; bit c % 64 of word c / 64 is class c. Copies are deep.
class LabelMasks {
 public:
  LabelMasks() = default;
  LabelMasks(std::int64_t rows, std::int64_t classes);

  std::int64_t rows() const { return rows_; }
  std::int64_t classes() const { return classes_; }
  /// ⌈classes / 64⌉.
  std::int64_t words() const { return words_; }
  const std::uint64_t* row(std::int64_t i) const { return bits_.data() + i * words_; }
  const std::uint64_t* data() const { return bits_.data(); }
  bool has(std::int64_t i, std::int64_t c) const { return (row(i)[c / 64] >> (c % 64)) & 1u; }
  void set(std::int64_t i, std::int64_t c) { bits_[i * words_ + c / 64] |= std::uint64_t{1} << (c % 64); }
  /// Number of classes of image i.
  std::int64_t count(std::int64_t i) const;
  /// The given rows in that order, restricted to the given classes, which are renumbered in the order of the list.
  LabelMasks select(const std::vector<std::int64_t>& rows, const std::vector<std::int64_t>& classes) const;
  /// Images that carry each class.
  std::vector<std::int64_t> images_per_class() const;
  void append_row(const std::vector<std::int64_t>& classes_of_row);
  bool operator==(const LabelMasks&) const = default;

 private:
  std::int64_t rows_ = 0, classes_ = 0, words_ = 0;
  std::vector<std::uint64_t> bits_;
};

struct LabelStatistics {
  std::vector<std::int64_t> images;        // per class
  std::vector<double> share;               // per class, of all images
  std::vector<std::int64_t> label_counts;  // label_counts[k]: images with k labels
  double mean_labels = 0;                  // per image
  std::vector<std::int64_t> together;      // [classes][classes], images that carry both; the diagonal is `images`
};
LabelStatistics label_statistics(const LabelMasks& labels);

}  // namespace swath
