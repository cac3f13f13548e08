#include "kernels/weight_norm_loss.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> weight_norm_loss_benchmarks() {
  return {{"weight_norm_loss",
           "unit rows of two layers' weights with the gradients",
           {rows_axis({512}, 64), cols_axis({512, 2048}, 256)},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
             WeightNormLossArgs args;
             args.layer_count = 2;
             for (std::size_t l = 0; l < 2; ++l)
               args.layers[l] = {.weight = arena.uniform(rows * cols, -0.1f, 0.1f),
                                 .bias = arena.uniform(rows, -0.1f, 0.1f),
                                 .d_weight = arena.output<float>(rows * cols),
                                 .d_bias = arena.output<float>(rows),
                                 .rows = rows,
                                 .cols = cols,
                                 .factor = 0.5f};
             args.loss = arena.output<float>(1);
             args.workspace = arena.workspace(weight_norm_loss_workspace(args));
             return arena.job([args](auto exec) { weight_norm_loss(args, exec); });
           }}};
}

}  // namespace swath::bench
