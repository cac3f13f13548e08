#include "kernels/pair_rows.h"

#include "bench/kernels/all.h"
#include "kernels/label_mask.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> pair_rows_benchmarks() {
  return {{"pair_rows",
           "one-category rows out of multi-hot images",
           {{.name = "images", .values = {120}, .counted = 128},
            {.name = "classes", .values = {60}, .counted = 60, .high = 1 << 16},
            {.name = "rows_per_class", .values = {2}, .counted = 2, .high = 1 << 10}},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t images = sizes["images"], classes = sizes["classes"], per_class = sizes["rows_per_class"];
             const std::int64_t capacity = pair_rows_capacity(classes, per_class);
             const PairRowsArgs args{.labels = arena.label_masks(images, classes),
                                     .step = arena.put_one<std::uint64_t>(1),
                                     .row_image = arena.output<std::int32_t>(capacity),
                                     .row_class = arena.output<std::int32_t>(capacity),
                                     .row_count = arena.output<std::int32_t>(1),
                                     .images = images,
                                     .classes = classes,
                                     .words = label_words(classes),
                                     .rows_per_class = per_class,
                                     .seed = 1};
             return arena.job([args](auto exec) { pair_rows(args, exec); });
           }}};
}

}  // namespace swath::bench
