// Bilinear resampling of 8-bit RGB images: a triangle filter, widened by the scale where the image shrinks
// (as Pillow's BILINEAR), so that shrinking does not alias.
#pragma once
#include <cstdint>

namespace swath {

struct ResampleArgs {
  const std::uint8_t* from = nullptr;  // from_height × from_width × 3
  std::int64_t from_height = 0, from_width = 0;
  std::uint8_t* to = nullptr;  // to_height × to_width × 3
  std::int64_t to_height = 0, to_width = 0;
};
void resample_bilinear(const ResampleArgs& args);

}  // namespace swath
