#include "kernels/bce_loss.h"

#include "bench/kernels/all.h"
#include "kernels/label_mask.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> bce_loss_benchmarks() {
  return {{"bce_loss",
           "binary cross-entropy of logits with its gradient",
           {rows_axis({120, 512, 2048}, 128), {.name = "classes", .values = {19, 43, 60, 256}, .counted = 60, .high = 1 << 16}},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], classes = sizes["classes"];
             BceLossArgs args{.logits = arena.uniform(rows * classes, -3, 3),
                              .labels = arena.label_masks(rows, classes),
                              .loss = arena.output<float>(1),
                              .d_logits = arena.output<float>(rows * classes),
                              .rows = rows,
                              .classes = classes,
                              .words = label_words(classes)};
             args.workspace = arena.workspace(bce_loss_workspace(args));
             return arena.job([args](auto exec) { bce_loss(args, exec); });
           }}};
}

}  // namespace swath::bench
