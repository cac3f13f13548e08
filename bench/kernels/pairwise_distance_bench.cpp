#include "kernels/pairwise_distance.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> pairwise_distance_benchmarks() {
  return {{"pairwise_distance",
           "Euclidean distances between all rows",
           {rows_axis(), cols_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
             const PairwiseDistanceArgs args{.x = arena.unit_rows(rows, cols),
                                             .distance = arena.output<float>(rows * rows),
                                             .rows = rows,
                                             .cols = cols,
                                             .x_ld = cols};
             return arena.job([args](auto exec) { pairwise_distance(args, exec); });
           }}};
}

}  // namespace swath::bench
