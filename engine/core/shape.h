// Extents of a dense row-major array of up to four dimensions.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace swath {

class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  /// Throws UserError when the rank exceeds four, an extent is negative or the product overflows 63 bits.
  Shape(std::initializer_list<std::int64_t> extents);
  static Shape of(const std::int64_t* extents, int rank);

  int rank() const { return rank_; }
  std::int64_t operator[](int i) const { return extents_[static_cast<std::size_t>(i)]; }
  /// Product of the extents; 1 for rank 0.
  std::int64_t numel() const { return numel_; }
  bool operator==(const Shape& other) const { return rank_ == other.rank_ && extents_ == other.extents_; }
  /// "2x3x4".
  std::string str() const;

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  std::int64_t numel_ = 1;
  int rank_ = 0;
};

}  // namespace swath
