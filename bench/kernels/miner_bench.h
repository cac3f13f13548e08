// What the benchmarks of miners share.
#pragma once
#include "bench/kernels/all.h"
#include "kernels/pairwise_distance.h"

namespace swath::bench {

/// Two rows a class, as the balanced sampler gives them.
inline Axis rows_per_class_axis() { return {.name = "rows_per_class", .values = {2}, .counted = 2}; }

/// Distances of random unit rows of 128 columns.
inline const float* random_distances(Arena& arena, std::int64_t rows) {
  const kernels::PairwiseDistanceArgs args{
      .x = arena.unit_rows(rows, 128), .distance = arena.output<float>(rows * rows), .rows = rows, .cols = 128, .x_ld = 128};
  arena.device().run([&](auto exec) { pairwise_distance(args, exec); });
  return args.distance;
}

}  // namespace swath::bench
