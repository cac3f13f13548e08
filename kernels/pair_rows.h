// One-category rows out of multi-hot images: k images of every class present. methods.md §1 "pair rows".
#pragma once
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// For every class that an image carries, in ascending order, `rows_per_class` draws among its images: without replacement
/// if there are that many, else independent uniform draws. Draw j of class c is philox(seed, *step, pair_rows, c, j).v[0].
/// The capacity of the outputs is rows_per_class × classes; unused rows hold −1.
/// Cost: classes × images × words × 8 bytes from cache, rows_per_class draws a class (each follows the earlier draws);
/// 1 launch; no workspace.
struct PairRowsArgs {
  const std::uint64_t* labels = nullptr;  // images × words: class c of an image is bit c % 64 of word c / 64
  const std::uint64_t* step = nullptr;    // 1
  std::int32_t* row_image = nullptr;      // capacity: index of the image, −1 unused
  std::int32_t* row_class = nullptr;      // capacity: class, −1 unused
  std::int32_t* row_count = nullptr;      // 1: rows in use
  std::int64_t images = 0;
  std::int64_t classes = 0;
  std::int64_t words = 0;           // ≥ ⌈classes / 64⌉; bits from `classes` on are ignored
  std::int64_t rows_per_class = 2;  // k
  std::uint64_t seed = 0;
};
void pair_rows(const PairRowsArgs& args, CudaStream exec);
void pair_rows(const PairRowsArgs& args, Cpu exec);

constexpr std::int64_t pair_rows_capacity(std::int64_t classes, std::int64_t rows_per_class) {
  return classes * rows_per_class;
}

}  // namespace swath::kernels

// Budget: pair_rows_kernel 48 registers, 264 bytes shared.
