// What the benchmarks of miners share.
#pragma once
#include "bench/kernels/all.h"
#include "kernels/label_similarity.h"
#include "kernels/pairwise_distance.h"

namespace swath::bench {

/// Two rows a class, as the balanced sampler gives them.
inline Axis rows_per_class_axis() { return {.name = "rows_per_class", .values = {2}, .counted = 2}; }

inline Axis classes_axis() { return {.name = "classes", .values = {43}, .counted = 43, .high = 65'535}; }

/// Shared labels of all pairs of random multi-hot rows.
inline kernels::LabelSimilarityArgs random_similarities(Arena& arena, std::int64_t rows, std::int64_t classes) {
  const std::uint64_t* labels = arena.label_masks(rows, classes);
  return {.labels = labels,
          .others = labels,
          .similarity = arena.output<std::uint16_t>(rows * rows),
          .label_count = arena.output<std::int32_t>(rows),
          .rows = rows,
          .other_rows = rows,
          .classes = classes};
}

/// Distances of random unit rows of 128 columns.
inline const float* random_distances(Arena& arena, std::int64_t rows) {
  const kernels::PairwiseDistanceArgs args{
      .x = arena.unit_rows(rows, 128), .distance = arena.output<float>(rows * rows), .rows = rows, .cols = 128, .x_ld = 128};
  arena.device().run([&](auto exec) { pairwise_distance(args, exec); });
  return args.distance;
}

}  // namespace swath::bench
