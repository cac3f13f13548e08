// Where the pixels of an augmented crop come from: drawn once per row, the same on host and device (methods.md §1).
#pragma once
#include <cmath>

#include "kernels/augment.h"
#include "kernels/philox.h"

namespace swath::kernels {

/// Pixel (y, x) of the crop is pixel (row, column) = (row0 + row_y·y + row_x·x, column0 + column_y·y + column_x·x) of the
/// image. `top`, `left`, `height`, `width`: the rectangle of the image that the crop covers.
struct CropMap {
  std::int32_t row0, row_y, row_x;
  std::int32_t column0, column_y, column_x;
  std::int32_t top, left, height, width;
};

/// A turn by 90° counter-clockwise of a size×size frame: the turned image's pixel (y, x) is the image's pixel (x, size − 1 −
/// y).
SWATH_HOST_DEVICE CropMap turned(const CropMap& m, std::int32_t size) {
  CropMap out = m;
  out.row0 = m.column0;
  out.row_y = m.column_y;
  out.row_x = m.column_x;
  out.column0 = size - 1 - m.row0;
  out.column_y = -m.row_y;
  out.column_x = -m.row_x;
  return out;
}

SWATH_HOST_DEVICE CropMap crop_map(const AugmentArgs& p, std::int64_t row) {
  const std::int32_t height = static_cast<std::int32_t>(p.height), width = static_cast<std::int32_t>(p.width);
  const std::int32_t crop_height = static_cast<std::int32_t>(p.crop_height),
                     crop_width = static_cast<std::int32_t>(p.crop_width);
  const bool train = p.mode == AugmentMode::train, turn = p.rotation == AugmentRotation::random_quarter;
  // v[0], v[1]: offset; v[2]: flip; v[3]: quarter turns.
  Philox4 draw{};
  if (train || turn) {
    const std::int64_t id = p.row_id ? p.row_id[row] : p.row_offset + row;
    draw = philox(p.seed, *p.step, RandomStream::augment, static_cast<std::uint64_t>(id), p.view);
  }
  std::int32_t y = (height - crop_height) / 2, x = (width - crop_width) / 2;
  bool horizontal = false, vertical = false;
  if (train) {
    y = static_cast<std::int32_t>(uniform_below(draw.v[0], static_cast<std::uint32_t>(height - crop_height + 1)));
    x = static_cast<std::int32_t>(uniform_below(draw.v[1], static_cast<std::uint32_t>(width - crop_width + 1)));
    horizontal = uniform_below(draw.v[2], 2) == 0;
    vertical = !horizontal;
  }
  CropMap m{y, 1, 0, x, 0, 1, 0, 0, 0, 0};
  if (vertical) {
    m.row0 = y + crop_height - 1;
    m.row_y = -1;
  }
  if (horizontal) {
    m.column0 = x + crop_width - 1;
    m.column_x = -1;
  }
  const std::uint32_t turns = turn ? uniform_below(draw.v[3], 4) : 0;
  for (std::uint32_t t = 0; t < turns; ++t) m = turned(m, height);
  const bool swapped = turns % 2 == 1;
  m.height = swapped ? crop_width : crop_height;
  m.width = swapped ? crop_height : crop_width;
  const std::int32_t last_row = m.row0 + m.row_y * (crop_height - 1) + m.row_x * (crop_width - 1);
  const std::int32_t last_column = m.column0 + m.column_y * (crop_height - 1) + m.column_x * (crop_width - 1);
  m.top = m.row0 < last_row ? m.row0 : last_row;
  m.left = m.column0 < last_column ? m.column0 : last_column;
  return m;
}

/// (v − whole − fraction) · inverse standardises the integer v; whole + fraction is the mean, exactly.
struct Standard {
  std::int32_t whole;
  float fraction, inverse;
};

/// From exact integer sums of v and v² over `count` pixels; `eps` in units of the integers.
SWATH_HOST_DEVICE Standard standard_of(std::uint64_t sum, std::uint64_t squares, std::uint64_t count, double eps) {
  const std::uint64_t whole = sum / count, rest = sum - whole * count;
  // Σ (v − whole)², exact: unsigned arithmetic wraps, the result does not.
  const std::uint64_t around = squares - 2 * whole * sum + count * whole * whole;
  const double n = static_cast<double>(count), r = static_cast<double>(rest);
  const double variance = (static_cast<double>(around) - r * r / n) / n;
  const double deviation = variance > 0 ? sqrt(variance) : 0.0;
  return {static_cast<std::int32_t>(whole), static_cast<float>(r / n), static_cast<float>(1.0 / (deviation + eps))};
}

/// 1e-8 after the division of u8 by 255, in units of the integers.
SWATH_HOST_DEVICE double augment_eps(DType source) { return source == DType::u8 ? 255e-8 : 1e-8; }

SWATH_HOST_DEVICE float standardised(std::int32_t v, const Standard& s) {
  return (static_cast<float>(v - s.whole) - s.fraction) * s.inverse;
}

}  // namespace swath::kernels
