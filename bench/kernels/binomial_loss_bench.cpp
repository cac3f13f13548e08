#include "kernels/binomial_loss.h"

#include <algorithm>
#include <cmath>

#include "bench/composites.h"
#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

namespace {

/// Tiles of 64 × 64 pairs on or above the diagonal read both sides and write two images of the slopes; those of d_x read the
/// slopes and the rows.
double binomial_sectors(double rows, double cols, double learners) {
  const double tiles = std::ceil(rows / 64), column_tiles = std::ceil(cols / 64);
  const double scores = tiles * (tiles + 1) / 2 * 128 * cols / 8 + learners * rows * rows / 8;
  return scores + tiles * column_tiles * rows * 128 / 8 + rows * cols / 8 + rows * rows / 8;
}

}  // namespace

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
             const double n = static_cast<double>(rows), width = static_cast<double>(cols);
             const Cost cost{8 * n * width, n * n * (3 * width + 150), binomial_sectors(n, width, 3)};
             return arena.job(cost, [args](auto exec) { binomial_loss(args, exec); });
           }}};
}

}  // namespace swath::bench
