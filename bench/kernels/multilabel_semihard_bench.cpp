#include "kernels/multilabel_semihard.h"

#include "bench/kernels/miner_bench.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> multilabel_semihard_benchmarks() {
  return {{"multilabel_semihard",
           "fine and coarse triplets of multi-hot rows, from distances and shared labels",
           {rows_axis(), classes_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], classes = sizes["classes"];
             const std::int64_t capacity = rows * std::min<std::int64_t>(rows, 512);
             const LabelSimilarityArgs similarities = random_similarities(arena, rows, classes);
             arena.device().run([&](auto exec) { label_similarity(similarities, exec); });
             MultilabelSemihardArgs args{.distance = random_distances(arena, rows),
                                         .similarity = similarities.similarity,
                                         .label_count = similarities.label_count,
                                         .step = arena.put_one<std::uint64_t>(1),
                                         .triplets = arena.output<std::int32_t>(3 * capacity),
                                         .triplet_count = arena.output<std::int32_t>(1),
                                         .dropped = arena.output<std::int32_t>(1),
                                         .rows = rows,
                                         .capacity = capacity,
                                         .seed = 1};
             args.workspace = arena.workspace(multilabel_semihard_workspace(args));
             return arena.job([args](auto exec) { multilabel_semihard(args, exec); });
           }}};
}

}  // namespace swath::bench
