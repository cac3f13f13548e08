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
             const double n = static_cast<double>(rows), words = static_cast<double>(label_words(classes));
             // For 16 rows, every other row's mask once; for 32 other rows, every row's mask; and the counts.
             return arena.job({2 * n * n + (8 * words + 4) * n, 0, n * n * (words / 64 + words / 32 + 1.0 / 16) + n},
                              [args](auto exec) { label_similarity(args, exec); });
           }}};
}

}  // namespace swath::bench
