#include "kernels/label_similarity.h"

#include "bench/kernels/miner_bench.h"
#include "kernels/label_mask.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> label_similarity_benchmarks() {
  return {{"label_similarity",
           "shared labels of all pairs of rows",
           {rows_axis(), classes_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], classes = sizes["classes"];
             const LabelSimilarityArgs args = random_similarities(arena, rows, classes);
             return arena.job([args](auto exec) { label_similarity(args, exec); });
           }}};
}

}  // namespace swath::bench
