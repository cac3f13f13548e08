#include "kernels/binomial_loss.h"

#include <algorithm>
#include <cmath>

#include "bench/composites.h"
#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> binomial_loss_benchmarks() {
  return {{"binomial_loss",
           "boosted binomial deviance of three learners with the gradients",
           {rows_axis({112, 512, 2048}, 128), cols_axis({128, 512}, 256)},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
             const std::vector<std::int64_t> widths = learner_widths(cols);
             BinomialLossArgs args{.x = arena.unit_parts(rows, widths),
                                   .row_class = arena.row_classes(rows),
                                   .beta = arena.put_one(0.5f),
                                   .loss = arena.output<float>(1),
                                   .d_x = arena.output<float>(rows * cols),
                                   .d_beta = arena.output<float>(1),
                                   .learners = static_cast<std::int64_t>(widths.size()),
                                   .rows = rows,
                                   .x_ld = cols,
                                   .d_x_ld = cols};
             std::copy(widths.begin(), widths.end(), args.widths);
             args.workspace = arena.workspace(binomial_loss_workspace(args));
             return arena.job([args](auto exec) { binomial_loss(args, exec); });
           }}};
}

}  // namespace swath::bench
