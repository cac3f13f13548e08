// What the benchmarks of miners share: their inputs, and the distances in front of them.
#pragma once
#include "bench/kernels/all.h"
#include "kernels/pairwise_distance.h"

namespace swath::bench {

/// Two rows a class, as the balanced sampler gives them.
inline Axis rows_per_class_axis() { return {.name = "rows_per_class", .values = {2}, .counted = 2}; }
inline std::int32_t* row_classes(Arena& arena, const Sizes& sizes) {
  const std::int64_t each = sizes["rows_per_class"];
  return arena.row_classes(sizes["rows"], (sizes["rows"] + each - 1) / each);
}

Cost pairwise_distance_cost(std::int64_t rows, std::int64_t cols);

inline kernels::PairwiseDistanceArgs distance_args(Arena& arena, std::int64_t rows, std::int64_t cols) {
  return {
      .x = arena.unit_rows(rows, cols), .distance = arena.output<float>(rows * rows), .rows = rows, .cols = cols, .x_ld = cols};
}

/// Distances of random unit rows of 128 columns.
inline const float* random_distances(Arena& arena, std::int64_t rows) {
  const kernels::PairwiseDistanceArgs args = distance_args(arena, rows, 128);
  arena.device().run([&](auto exec) { pairwise_distance(args, exec); });
  return args.distance;
}

/// A miner behind its distances, which need not go through memory.
inline Cost mining_cost(const kernels::PairwiseDistanceArgs& distances, const Cost& miner) {
  const Cost first = pairwise_distance_cost(distances.rows, distances.cols);
  return {4.0 * static_cast<double>(distances.rows * (distances.cols + 3)), first.flops + miner.flops,
          first.sectors + miner.sectors};
}

}  // namespace swath::bench
