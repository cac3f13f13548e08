#include "kernels/label_similarity.h"

#include "bench/kernels/all.h"
#include "kernels/label_mask.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> label_similarity_benchmarks() {
  return {{"label_similarity",
           "shared labels of all pairs of rows",
           {rows_axis(), {.name = "classes", .values = {43}, .counted = 43, .high = 65'535}},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], classes = sizes["classes"];
             const std::uint64_t* labels = arena.label_masks(rows, classes);
             const LabelSimilarityArgs args{.labels = labels,
                                            .others = labels,
                                            .similarity = arena.output<std::uint16_t>(rows * rows),
                                            .label_count = arena.output<std::int32_t>(rows),
                                            .rows = rows,
                                            .other_rows = rows,
                                            .classes = classes};
             const double n = static_cast<double>(rows), words = static_cast<double>(label_words(classes));
             // For 16 rows, every other row's mask once; for 32 other rows, every row's mask; and the counts.
             return arena.job({2 * n * n + (8 * words + 4) * n, 0, n * n * (words / 64 + words / 32 + 1.0 / 16) + n},
                              [args](auto exec) { label_similarity(args, exec); });
           }}};
}

}  // namespace swath::bench
