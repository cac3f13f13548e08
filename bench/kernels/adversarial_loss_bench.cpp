#include "kernels/adversarial_loss.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> adversarial_loss_benchmarks() {
  return {{"adversarial_loss",
           "correlation with a prediction, with both gradients",
           {rows_axis(), cols_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
             AdversarialLossArgs args{.target = arena.unit_rows(rows, cols),
                                      .prediction = arena.uniform(rows * cols),
                                      .loss = arena.output<float>(1),
                                      .d_target = arena.output<float>(rows * cols),
                                      .d_prediction = arena.output<float>(rows * cols),
                                      .rows = rows,
                                      .cols = cols,
                                      .target_ld = cols,
                                      .d_target_ld = cols};
             args.workspace = arena.workspace(adversarial_loss_workspace(args));
             return arena.job([args](auto exec) { adversarial_loss(args, exec); });
           }}};
}

}  // namespace swath::bench
