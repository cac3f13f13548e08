// Distances between all rows in tiles, on the CPU, for products of several kinds. methods.md §4.
// `Products` adds one panel's products to sums in registers and turns a sum into an inner product:
//   void add(const float* const (&x)[kRows], const float (*strip)[kStrip], std::int64_t depth, float* out) const;
//   float value(float sum) const;
// A number of x is a word of 32 bits that the tiles move and never read. Files that include this are compiled without
// contraction: every fused multiply-add is written out, as in the CUDA twin.
#pragma once
#include <algorithm>
#include <cmath>

#include "kernels/pairwise_distance.h"
#include "kernels/parallel.h"

namespace swath::kernels::distance_tile {

constexpr std::int64_t kTile = 64;    // rows i and columns j of a block
constexpr std::int64_t kDepth = 512;  // columns of x in the panel (128 KB, second-level cache)
constexpr std::int64_t kSpan = 256;   // rows i that share a panel
constexpr int kStrip = 16;            // columns j whose sums stay in registers
#if defined(__AVX512F__)
constexpr int kRows = 8;  // rows i whose sums stay in registers
#else
constexpr int kRows = 6;
#endif

/// Rows j0 … j0 + kTile of x, columns k0 … k0 + depth, transposed in strips. Places past the last row repeat it.
struct Panel {
  alignas(64) float value[kTile / kStrip][kDepth][kStrip];
  std::int64_t depth;
};

/// Where one block's products, then distances, come to be; rows past its end take what the last group has too many.
struct Block {
  alignas(64) float value[kTile + kRows][kTile];
  std::int64_t i0, j0, rows, columns;

  bool on_diagonal() const { return i0 == j0; }
};

using Eight [[gnu::vector_size(32)]] = float;

/// The first 8 elements of eight rows become eight rows of 8, out_ld apart.
inline void transpose(const float* const (&row)[8], float* out, std::int64_t out_ld) {
  Eight v[8], pairs[8], quads[8];
  for (int r = 0; r < 8; ++r) std::copy_n(row[r], 8, reinterpret_cast<float*>(&v[r]));
  for (int r = 0; r < 8; r += 2) {
    pairs[r] = __builtin_shufflevector(v[r], v[r + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[r + 1] = __builtin_shufflevector(v[r], v[r + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int r = 0; r < 8; r += 4) {
    for (int h = 0; h < 2; ++h) {
      quads[r + 2 * h] = __builtin_shufflevector(pairs[r + h], pairs[r + h + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      quads[r + 2 * h + 1] = __builtin_shufflevector(pairs[r + h], pairs[r + h + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int c = 0; c < 4; ++c) {
    const Eight low = __builtin_shufflevector(quads[c], quads[c + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    const Eight high = __builtin_shufflevector(quads[c], quads[c + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    std::copy_n(reinterpret_cast<const float*>(&low), 8, out + c * out_ld);
    std::copy_n(reinterpret_cast<const float*>(&high), 8, out + (c + 4) * out_ld);
  }
}

inline void fill(Panel& panel, const PairwiseDistanceArgs& args, std::int64_t j0, std::int64_t columns, std::int64_t k0) {
  panel.depth = std::min(kDepth, args.cols - k0);
  for (std::int64_t j = 0; j < columns; j += 8) {
    const float* row[8];
    for (int r = 0; r < 8; ++r) row[r] = args.x + (j0 + std::min(j + r, columns - 1)) * args.x_ld + k0;
    float* out = panel.value[j / kStrip][0] + j % kStrip;
    std::int64_t k = 0;
    for (; k + 8 <= panel.depth; k += 8) {
      transpose(row, out + k * kStrip, kStrip);
      for (const float*& p : row) p += 8;
    }
    for (std::int64_t rest = 0; k < panel.depth; ++k, ++rest) {
      for (int r = 0; r < 8; ++r) out[k * kStrip + r] = row[r][rest];
    }
  }
}

/// Adds one panel's products to a block; on the diagonal only to the strips that reach above it.
template <class Products>
void add_panel(const Products& products, const PairwiseDistanceArgs& args, const Panel& panel, std::int64_t k0, Block& block) {
  for (std::int64_t r0 = 0; r0 < block.rows; r0 += kRows) {
    const float* x[kRows];
    for (std::int64_t r = 0; r < kRows; ++r) x[r] = args.x + (block.i0 + std::min(r0 + r, block.rows - 1)) * args.x_ld + k0;
    for (std::int64_t j = block.on_diagonal() ? r0 / kStrip * kStrip : 0; j < block.columns; j += kStrip) {
      products.add(x, panel.value[j / kStrip], panel.depth, block.value[r0] + j);
    }
  }
}

/// |x_i|² of all rows, on the diagonal of the result until the end.
inline void put_squares(const PairwiseDistanceArgs& args) {
  constexpr std::int64_t kGroup = 16;  // chains that run side by side
  parallel_chunks(
      args.rows, kGroup,
      [&](std::int64_t begin, std::int64_t end) {
        const float* x[kGroup];
        float sum[kGroup] = {};
        for (std::int64_t r = 0; r < kGroup; ++r) x[r] = args.x + std::min(begin + r, end - 1) * args.x_ld;
        for (std::int64_t k = 0; k < args.cols; ++k) {
          for (std::int64_t r = 0; r < kGroup; ++r) sum[r] = __builtin_fmaf(x[r][k], x[r][k], sum[r]);
        }
        for (std::int64_t i = begin; i < end; ++i) args.distance[i * args.rows + i] = sum[i - begin];
      },
      serial_below_for(kGroup * args.cols));
}

/// Products to distances, in the block.
template <class Products>
void take_roots(const Products& products, const PairwiseDistanceArgs& args, Block& block) {
  float squares[kTile];
  for (std::int64_t j = 0; j < block.columns; ++j) squares[j] = args.distance[(block.j0 + j) * (args.rows + 1)];
  for (std::int64_t i = 0; i < block.rows; ++i) {
    const float square = args.distance[(block.i0 + i) * (args.rows + 1)];
    float* row = block.value[i];
    for (std::int64_t j = 0; j < block.columns; ++j) {
      row[j] = std::sqrt(std::max(0.0f, __builtin_fmaf(-2.0f, products.value(row[j]), square + squares[j])));
    }
  }
}

/// Copies what lies above the diagonal from the block to the result, or back.
enum class Direction { store, load };
inline void move(const PairwiseDistanceArgs& args, Block& block, Direction direction) {
  for (std::int64_t i = 0; i < block.rows; ++i) {
    const std::int64_t begin = block.on_diagonal() ? i + 1 : 0, count = std::max<std::int64_t>(0, block.columns - begin);
    float* own = block.value[i] + begin;
    float* result = args.distance + (block.i0 + i) * args.rows + block.j0 + begin;
    if (direction == Direction::store) {
      std::copy_n(own, count, result);
    } else {
      std::copy_n(result, count, own);
    }
  }
}

/// Copies what lies above the diagonal to its mirror image.
inline void mirror(const PairwiseDistanceArgs& args, const Block& block) {
  float* image = args.distance + block.j0 * args.rows + block.i0;
  for (std::int64_t j0 = 0; j0 < block.columns; j0 += 8) {
    for (std::int64_t i0 = 0; i0 < block.rows; i0 += 8) {
      const std::int64_t j_end = std::min(block.columns, j0 + 8), i_end = std::min(block.rows, i0 + 8);
      if (!block.on_diagonal() && j_end - j0 == 8 && i_end - i0 == 8) {
        const float* row[8];
        for (int r = 0; r < 8; ++r) row[r] = block.value[i0 + r] + j0;
        transpose(row, image + j0 * args.rows + i0, args.rows);
        continue;
      }
      for (std::int64_t j = j0; j < j_end; ++j) {
        const std::int64_t end = block.on_diagonal() ? std::min(i_end, j) : i_end;
        for (std::int64_t i = i0; i < end; ++i) image[j * args.rows + i] = block.value[i][j];
      }
    }
  }
}

/// Distances of kSpan rows from `first` on to the rows of the tile at j0, on and above the diagonal, with their mirror image.
template <class Products>
void distances_of_tile(const Products& products, const PairwiseDistanceArgs& args, std::int64_t first, std::int64_t j0) {
  const std::int64_t columns = std::min(kTile, args.rows - j0), last = std::min(first + kSpan, j0 + columns);
  Panel panel;
  for (std::int64_t k0 = 0; k0 == 0 || k0 < args.cols; k0 += kDepth) {
    fill(panel, args, j0, columns, k0);
    for (std::int64_t i0 = first; i0 < last; i0 += kTile) {
      Block block{{}, i0, j0, std::min(kTile, args.rows - i0), columns};
      if (k0 > 0) move(args, block, Direction::load);
      add_panel(products, args, panel, k0, block);
      if (k0 + kDepth < args.cols) {
        move(args, block, Direction::store);
        continue;
      }
      take_roots(products, args, block);
      move(args, block, Direction::store);
      mirror(args, block);
    }
  }
}

/// All distances but those on the diagonal, which holds |x_i|² and keeps it.
template <class Products>
void distances_of_tiles(const Products& products, const PairwiseDistanceArgs& args) {
  // Every group of kSpan rows with every tile of columns that reaches the diagonal or lies above it.
  constexpr std::int64_t kStep = kSpan / kTile;
  const std::int64_t tiles = (args.rows + kTile - 1) / kTile, groups = (tiles + kStep - 1) / kStep;
  parallel_tasks(groups * tiles - kStep * (groups * (groups - 1) / 2), [&](std::int64_t task) {
    std::int64_t group = 0;
    for (; task >= tiles - group * kStep; ++group) task -= tiles - group * kStep;
    distances_of_tile(products, args, group * kSpan, (group * kStep + task) * kTile);
  });
}

}  // namespace swath::kernels::distance_tile
