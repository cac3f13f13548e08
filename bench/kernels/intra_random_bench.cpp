#include "kernels/intra_random.h"

#include "bench/kernels/miner_bench.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> intra_random_benchmarks() {
  return {{"intra_random",
           "triplets of three random rows of a class",
           {rows_axis(), rows_per_class_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"];
             IntraRandomArgs args{.row_class = arena.row_classes(rows, sizes["rows_per_class"]),
                                  .step = arena.put_one<std::uint64_t>(1),
                                  .triplets = arena.output<std::int32_t>(3 * rows),
                                  .triplet_count = arena.output<std::int32_t>(1),
                                  .rows = rows,
                                  .seed = 1};
             args.workspace = arena.workspace(intra_random_workspace(args));
             return arena.job([args](auto exec) { intra_random(args, exec); });
           }}};
}

}  // namespace swath::bench
