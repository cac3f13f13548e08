// How the rows of a batch are shared out: contiguous slices in order, the first ones longer by a row where it does not come out
// even.
#pragma once
#include <cstdint>

namespace swath::kernels {

struct RowSlices {
  std::int64_t shorter = 0;  // rows of a slice
  std::int64_t longer = 0;   // how many slices, the first ones, hold one more
};
inline RowSlices row_slices(std::int64_t rows, std::int64_t slices) { return {rows / slices, rows % slices}; }

/// The first row of slice `slice` of `slices`; that of slice `slices` is `rows`.
inline std::int64_t slice_begin(std::int64_t rows, std::int64_t slice, std::int64_t slices) {
  const RowSlices sizes = row_slices(rows, slices);
  return slice * sizes.shorter + (slice < sizes.longer ? slice : sizes.longer);
}

}  // namespace swath::kernels
