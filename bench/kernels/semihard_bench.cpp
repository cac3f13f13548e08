#include "kernels/semihard.h"

#include "bench/kernels/miner_bench.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> semihard_benchmarks() {
  return {{"semihard",
           "one semihard triplet per anchor, from distances",
           {rows_axis(), rows_per_class_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"];
             SemihardArgs args{.distance = random_distances(arena, rows),
                               .row_class = arena.row_classes(rows, sizes["rows_per_class"]),
                               .step = arena.put_one<std::uint64_t>(1),
                               .triplets = arena.output<std::int32_t>(3 * rows),
                               .triplet_count = arena.output<std::int32_t>(1),
                               .rows = rows,
                               .seed = 1};
             args.workspace = arena.workspace(semihard_workspace(args));
             return arena.job([args](auto exec) { semihard(args, exec); });
           }}};
}

}  // namespace swath::bench
