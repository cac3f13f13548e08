#include "engine/core/shape.h"

#include "engine/core/error.h"

namespace swath {

Shape::Shape(std::initializer_list<std::int64_t> extents) { *this = of(extents.begin(), static_cast<int>(extents.size())); }

Shape Shape::of(const std::int64_t* extents, int rank) {
  if (rank > kMaxRank) throw UserError(fmt::format("a tensor has at most {} dimensions, not {}", kMaxRank, rank));
  Shape shape;
  shape.rank_ = rank;
  for (int i = 0; i < rank; ++i) {
    if (extents[i] < 0) throw UserError(fmt::format("extent {} of a tensor is negative: {}", i, extents[i]));
    shape.extents_[static_cast<std::size_t>(i)] = extents[i];
    if (__builtin_mul_overflow(shape.numel_, extents[i], &shape.numel_)) throw UserError("a tensor's extents overflow 63 bits");
  }
  return shape;
}

std::string Shape::str() const {
  std::string text;
  for (int i = 0; i < rank_; ++i) text += (i ? "x" : "") + std::to_string((*this)[i]);
  return text.empty() ? "scalar" : text;
}

}  // namespace swath
