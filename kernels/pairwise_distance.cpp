// Euclidean distances between all rows, on the CPU. methods.md §4.
// This file is compiled without contraction: every fused multiply-add is written out, as in the CUDA twin.
#include "kernels/pairwise_distance.h"

#include "kernels/distance_tile.h"

namespace swath::kernels {
namespace {

using distance_tile::kRows;
using distance_tile::kStrip;
using distance_tile::kTile;

/// Adds to out[r][j] the products of row r of x with column j of a strip, in ascending order of k. The sums stay in registers.
[[gnu::noinline]] void add_products(const float* const (&x)[kRows], const float (*strip)[kStrip], std::int64_t depth,
                                    float* out) {
  float sum[kRows][kStrip];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma omp simd
    for (int j = 0; j < kStrip; ++j) sum[r][j] = out[r * kTile + j];
  }
  for (std::int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float value = x[r][k];
#pragma omp simd
      for (int j = 0; j < kStrip; ++j) sum[r][j] = __builtin_fmaf(value, strip[k][j], sum[r][j]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma omp simd
    for (int j = 0; j < kStrip; ++j) out[r * kTile + j] = sum[r][j];
  }
}

struct Products {
  void add(const float* const (&x)[kRows], const float (*strip)[kStrip], std::int64_t depth, float* out) const {
    add_products(x, strip, depth, out);
  }
  float value(float sum) const { return sum; }
};

}  // namespace

void pairwise_distance(const PairwiseDistanceArgs& args, Cpu) {
  distance_tile::put_squares(args);
  distance_tile::distances_of_tiles(Products{}, args);
  for (std::int64_t i = 0; i < args.rows; ++i) args.distance[i * args.rows + i] = 0.0f;
}

}  // namespace swath::kernels
