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
constexpr std::int64_t kVector = 16;  // columns j whose sums stay in registers

/// One panel: rows j0 … j0 + kTile of x, columns k0 … k0 + depth, transposed; rows past the end are zero.
struct Panel {
  alignas(64) float value[kDepth][kTile] = {};
  std::int64_t depth = 0;
};

/// Adds to dot[r][j] the products of row r of x with column j of the panel, in ascending order of k. The sums of 8 × 16 pairs
/// stay in registers.
void add_products(const float* const (&x)[kRows], const Panel& panel, float (&dot)[kRows][kTile]) {
  for (std::int64_t j0 = 0; j0 < kTile; j0 += kVector) {
    float sum[kRows][kVector];
    for (int r = 0; r < kRows; ++r) std::copy_n(dot[r] + j0, kVector, sum[r]);
    for (std::int64_t k = 0; k < panel.depth; ++k) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const float value = x[r][k];
#pragma omp simd
        for (int j = 0; j < kVector; ++j) sum[r][j] = __builtin_fmaf(value, panel.value[k][j0 + j], sum[r][j]);
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

/// ⟨x_i, x_j⟩ for j in the tile at j0 and all i up to the tile's end, which covers the upper triangle and the diagonal.
void products_of_tile(const PairwiseDistanceArgs& args, std::int64_t j0, std::int64_t columns) {
  Panel panel;
  for (std::int64_t k0 = 0; k0 == 0 || k0 < args.cols; k0 += kDepth) {
    panel.depth = std::min(kDepth, args.cols - k0);
    for (std::int64_t j = 0; j < columns; ++j) {
      const float* row = args.x + (j0 + j) * args.x_ld + k0;
      for (std::int64_t k = 0; k < panel.depth; ++k) panel.value[k][j] = row[k];
    }
    for (std::int64_t i0 = 0; i0 < j0 + columns; i0 += kRows) {
      add_to_rows(args, panel, i0, std::min(kRows, j0 + columns - i0), j0, columns, k0);
    }
  }
}

/// Products to distances in the block (i0, j0) above or on the diagonal, and their mirror image. The diagonal keeps its
/// squares.
void finish_block(const PairwiseDistanceArgs& args, std::int64_t i0, std::int64_t j0) {
  const std::int64_t n = args.rows, i_end = std::min(n, i0 + kTile), j_end = std::min(n, j0 + kTile);
  float squares[kTile];
  for (std::int64_t j = j0; j < j_end; ++j) squares[j - j0] = args.distance[j * n + j];
  for (std::int64_t i = i0; i < i_end; ++i) {
    float* row = args.distance + i * n;
    const float square = row[i];
    for (std::int64_t j = std::max(j0, i + 1); j < j_end; ++j) {
      const float d2 = __builtin_fmaf(-2.0f, row[j], square + squares[j - j0]);
      row[j] = std::sqrt(std::max(0.0f, d2));
    }
  }
  for (std::int64_t j = j0; j < j_end; ++j) {
    for (std::int64_t i = i0; i < std::min(i_end, j); ++i) args.distance[j * n + i] = args.distance[i * n + j];
  }
}

}  // namespace

void pairwise_distance(const PairwiseDistanceArgs& args, Cpu) {
  const std::int64_t n = args.rows, tiles = (n + kTile - 1) / kTile;
  // Task t takes a long column of tiles, then a short one, so that static scheduling balances.
  parallel_for((tiles + 1) / 2, [&](std::int64_t t) {
    const std::int64_t late = tiles - 1 - t;
    products_of_tile(args, late * kTile, std::min(kTile, n - late * kTile));
    if (t != late) products_of_tile(args, t * kTile, kTile);
  });
  parallel_for((tiles + 1) / 2, [&](std::int64_t t) {
    for (std::int64_t b = t; b < tiles; ++b) finish_block(args, t * kTile, b * kTile);
    const std::int64_t late = tiles - 1 - t;
    for (std::int64_t b = late; b < tiles && t != late; ++b) finish_block(args, late * kTile, b * kTile);
  });
  for (std::int64_t i = 0; i < n; ++i) args.distance[i * n + i] = 0.0f;
}

}  // namespace swath::kernels
