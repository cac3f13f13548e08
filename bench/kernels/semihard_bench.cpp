#include "kernels/semihard.h"

#include "bench/kernels/miner_bench.h"

namespace swath::bench {

using namespace kernels;

namespace {

SemihardArgs semihard_args(Arena& arena, const Sizes& sizes, const float* distance) {
  const std::int64_t rows = sizes["rows"];
  SemihardArgs args{.distance = distance,
                    .row_class = row_classes(arena, sizes),
                    .step = arena.put_one<std::uint64_t>(1),
                    .triplets = arena.output<std::int32_t>(3 * rows),
                    .triplet_count = arena.output<std::int32_t>(1),
                    .rows = rows,
                    .seed = 1};
  args.workspace = arena.workspace(semihard_workspace(args));
  return args;
}

/// Two whole passes over an anchor's distances and classes, and one until the drawn candidates are found.
Cost semihard_cost(std::int64_t rows) {
  const double n = static_cast<double>(rows);
  return {4 * n * n + 24 * n, 0, 2.5 * n * n / 4 + 5 * n};
}

}  // namespace

std::vector<Benchmark> semihard_benchmarks() {
  return {{"semihard",
           "one semihard triplet per anchor, from distances",
           {rows_axis(), rows_per_class_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const SemihardArgs args = semihard_args(arena, sizes, random_distances(arena, sizes["rows"]));
             return arena.job(semihard_cost(args.rows), [args](auto exec) { semihard(args, exec); });
           }},
          {"mine.semihard",
           "distances, then semihard triplets",
           {rows_axis(), cols_axis(), rows_per_class_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const PairwiseDistanceArgs distances = distance_args(arena, sizes["rows"], sizes["cols"]);
             const SemihardArgs args = semihard_args(arena, sizes, distances.distance);
             const Cost cost = mining_cost(distances, semihard_cost(args.rows));
             return arena.job(cost, [distances, args](auto exec) {
               pairwise_distance(distances, exec);
               semihard(args, exec);
             });
           }}};
}

}  // namespace swath::bench
