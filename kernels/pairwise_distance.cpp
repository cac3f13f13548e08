// Euclidean distances between all rows, on the CPU. methods.md §4.
// This file is compiled without contraction: every fused multiply-add is written out, as in the CUDA twin.
#include "kernels/pairwise_distance.h"

#include <algorithm>
#include <cmath>

#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kTile = 64;    // columns j of a task: the rows of x that are transposed into the panel
constexpr std::int64_t kDepth = 128;  // columns of x in the panel (32 KB)
constexpr std::int64_t kRows = 8;     // rows i whose sums stay in registers
constexpr std::int64_t kSpan = 128;   // rows i of a task: enough to pay for the panel
constexpr std::int64_t kVector = 16;  // columns j whose sums stay in registers

/// One panel: rows j0 … j0 + kTile of x, columns k0 … k0 + depth, transposed; rows past the end are zero.
struct Panel {
  alignas(64) float value[kTile / kVector][kDepth][kVector] = {};
  std::int64_t depth = 0;
};

/// Adds to dot[r][j] the products of row r of x with column j of the panel, in ascending order of k. The sums of 8 × 16 pairs
/// stay in registers, but only as long as the function is not inlined (GCC 12; 2.2 times slower when it is).
[[gnu::noinline]] void add_products(const float* const (&x)[kRows], const Panel& panel, float (&dot)[kRows][kTile]) {
  for (std::int64_t j0 = 0; j0 < kTile; j0 += kVector) {
    float sum[kRows][kVector];
    for (int r = 0; r < kRows; ++r) std::copy_n(dot[r] + j0, kVector, sum[r]);
    for (std::int64_t k = 0; k < panel.depth; ++k) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const float value = x[r][k];
#pragma omp simd
        for (int j = 0; j < kVector; ++j) sum[r][j] = __builtin_fmaf(value, panel.value[j0 / kVector][k][j], sum[r][j]);
      }
    }
    for (int r = 0; r < kRows; ++r) std::copy_n(sum[r], kVector, dot[r] + j0);
  }
}

/// Adds one panel's products for rows i0 … i0 + count (≤ kRows), whose sums so far are in `distance` unless this is the first
/// panel.
void add_to_rows(const PairwiseDistanceArgs& args, const Panel& panel, std::int64_t i0, std::int64_t count, std::int64_t j0,
                 std::int64_t columns, std::int64_t k0) {
  alignas(64) float dot[kRows][kTile] = {};
  const float* x[kRows];
  for (std::int64_t r = 0; r < kRows; ++r) x[r] = args.x + (i0 + std::min(r, count - 1)) * args.x_ld + k0;
  float* out = args.distance + i0 * args.rows + j0;
  if (k0 > 0) {
    for (std::int64_t r = 0; r < count; ++r) std::copy_n(out + r * args.rows, columns, dot[r]);
  }
  add_products(x, panel, dot);
  for (std::int64_t r = 0; r < count; ++r) std::copy_n(dot[r], columns, out + r * args.rows);
}

/// ⟨x_i, x_j⟩ for kSpan rows from `first` on and j in the tile at j0; rows behind the tile's end are left to the mirror image.
void products_of_tile(const PairwiseDistanceArgs& args, std::int64_t first, std::int64_t j0) {
  const std::int64_t columns = std::min(kTile, args.rows - j0), last = std::min(first + kSpan, j0 + columns);
  Panel panel;
  for (std::int64_t k0 = 0; k0 == 0 || k0 < args.cols; k0 += kDepth) {
    panel.depth = std::min(kDepth, args.cols - k0);
    for (std::int64_t j = 0; j < columns; ++j) {
      const float* row = args.x + (j0 + j) * args.x_ld + k0;
      for (std::int64_t k = 0; k < panel.depth; ++k) panel.value[j / kVector][k][j % kVector] = row[k];
    }
    for (std::int64_t i0 = first; i0 < last; i0 += kRows) {
      add_to_rows(args, panel, i0, std::min(kRows, last - i0), j0, columns, k0);
    }
  }
}

/// Products to distances in the block (i0, j0) above or on the diagonal, and their mirror image. The diagonal keeps its
/// squares.
void finish_block(const PairwiseDistanceArgs& args, std::int64_t i0, std::int64_t j0) {
  const std::int64_t n = args.rows, i_end = std::min(n, i0 + kTile), j_end = std::min(n, j0 + kTile);
  float squares[kTile];
  float mirror[kTile][kTile + 1];  // the pitch keeps a column out of a single cache set
  for (std::int64_t j = j0; j < j_end; ++j) squares[j - j0] = args.distance[j * n + j];
  for (std::int64_t i = i0; i < i_end; ++i) {
    float* row = args.distance + i * n;
    const float square = row[i];
    const std::int64_t begin = std::max(j0, i + 1);
    for (std::int64_t j = begin; j < j_end; ++j) {
      const float d2 = __builtin_fmaf(-2.0f, row[j], square + squares[j - j0]);
      row[j] = std::sqrt(std::max(0.0f, d2));
    }
    for (std::int64_t j = begin; j < j_end; ++j) mirror[j - j0][i - i0] = row[j];
  }
  for (std::int64_t j = j0; j < j_end; ++j) {
    std::copy_n(mirror[j - j0], std::max<std::int64_t>(0, std::min(i_end, j) - i0), args.distance + j * n + i0);
  }
}

/// Calls body(i0, j0) for every group of `span` rows (a multiple of kTile) and every tile of columns that reaches its diagonal.
template <class Body>
void for_upper_blocks(std::int64_t rows, std::int64_t span, const Body& body) {
  const std::int64_t tiles = (rows + kTile - 1) / kTile, step = span / kTile, groups = (tiles + step - 1) / step;
  parallel_for(groups * tiles - step * (groups * (groups - 1) / 2), [&](std::int64_t task) {
    std::int64_t group = 0;
    for (; task >= tiles - group * step; ++group) task -= tiles - group * step;
    body(group * span, (group * step + task) * kTile);
  });
}

}  // namespace

void pairwise_distance(const PairwiseDistanceArgs& args, Cpu) {
  for_upper_blocks(args.rows, kSpan, [&](std::int64_t i0, std::int64_t j0) { products_of_tile(args, i0, j0); });
  for_upper_blocks(args.rows, kTile, [&](std::int64_t i0, std::int64_t j0) { finish_block(args, i0, j0); });
  for (std::int64_t i = 0; i < args.rows; ++i) args.distance[i * args.rows + i] = 0.0f;
}

}  // namespace swath::kernels
