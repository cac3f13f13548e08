#include "kernels/pairwise_distance.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

namespace {

/// Blocks on or above the diagonal read 32 rows of either side and write 32 × 32 distances twice.
Cost pairwise_distance_cost(std::int64_t rows, std::int64_t cols) {
  const double n = static_cast<double>(rows), width = static_cast<double>(cols), tiles = static_cast<double>((rows + 31) / 32);
  return {4 * (n * width + n * n), n * n * width, tiles * (tiles + 1) / 2 * 64 * width / 8 + n * n / 8};
}

}  // namespace

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
             return arena.job(pairwise_distance_cost(rows, cols), [args](auto exec) { pairwise_distance(args, exec); });
           }}};
}

}  // namespace swath::bench
