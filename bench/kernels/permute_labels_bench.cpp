#include "kernels/permute_labels.h"

#include "bench/kernels/miner_bench.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> permute_labels_benchmarks() {
  return {{"permute_labels",
           "labels in a random order",
           {rows_axis(), rows_per_class_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"];
             PermuteLabelsArgs args{.row_class = arena.row_classes(rows, sizes["rows_per_class"]),
                                    .step = arena.put_one<std::uint64_t>(1),
                                    .permuted = arena.output<std::int32_t>(rows),
                                    .rows = rows,
                                    .seed = 1};
             args.workspace = arena.workspace(permute_labels_workspace(args));
             return arena.job([args](auto exec) { permute_labels(args, exec); });
           }}};
}

}  // namespace swath::bench
