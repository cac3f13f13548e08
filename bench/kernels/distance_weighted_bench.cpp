#include "kernels/distance_weighted.h"

#include "bench/kernels/miner_bench.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> distance_weighted_benchmarks() {
  return {{"distance_weighted",
           "one triplet per anchor, negatives by the density of distances",
           {rows_axis(), cols_axis(), rows_per_class_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"];
             DistanceWeightedArgs args{.distance = random_distances(arena, rows),
                                       .row_class = arena.row_classes(rows, sizes["rows_per_class"]),
                                       .step = arena.put_one<std::uint64_t>(1),
                                       .triplets = arena.output<std::int32_t>(3 * rows),
                                       .triplet_count = arena.output<std::int32_t>(1),
                                       .rows = rows,
                                       .width = sizes["cols"],
                                       .seed = 1};
             args.workspace = arena.workspace(distance_weighted_workspace(args));
             return arena.job([args](auto exec) { distance_weighted(args, exec); });
           }}};
}

}  // namespace swath::bench
