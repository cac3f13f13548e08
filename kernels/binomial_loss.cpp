// Boosted binomial deviance, on the CPU: tiles of scores from BLAS become tiles of ∂loss/∂S in place, and these the gradients
// of the rows. methods.md §6.
#include "kernels/binomial_loss.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "kernels/binomial_loss_terms.h"
#include "kernels/lanes.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kTile = kBinomialTile;

blasint narrow(std::int64_t v) { return static_cast<blasint>(v); }

/// A call: what all its tasks share.
struct Call {
  const BinomialLossArgs& args;
  BinomialWorkspace workspace;
  std::int64_t used = 0;  // rows in use
  BinomialKinds kinds{};
};

/// Sums over a tile, column by column.
struct ColumnSums {
  float loss[kTile] = {}, slope[kTile] = {};
};

void count_same(const Call& call) {
  const std::int32_t* row_class = call.args.row_class;
  parallel_for(
      call.used,
      [&](std::int64_t i) {
        const std::int32_t own = row_class[i];
        std::int32_t same = 0;
        for (std::int64_t j = 0; j < call.used; ++j) same += row_class[j] == own ? 1 : 0;
        call.workspace.same[i] = own < 0 ? 0 : same;
      },
      serial_below_for(call.used / 16));
}

/// The scores of row i with the `count` rows from j0 on, learner after learner a plane apart, become ∂loss/∂S.
void row_of_pairs(const Call& call, std::int64_t i, std::int64_t j0, std::int64_t count, float* scores, ColumnSums& sums) {
  const BinomialLossArgs& args = call.args;
  const std::int64_t plane = args.rows * call.workspace.ld;
  const std::int32_t own = args.row_class[i];
  const std::int32_t* others = args.row_class + j0;
  const BinomialKind same = call.kinds.same, different = call.kinds.different;
  const float beta = *args.beta;
  float factor[kTile], weight[kTile], again[kTile], ensemble[kTile], boost[kTile];
  for (std::int64_t j = 0; j < count; ++j) {
    const BinomialKind& kind = others[j] == own ? same : different;
    factor[j] = kind.factor;
    weight[j] = own < 0 || others[j] < 0 || j0 + j == i ? 0.0f : kind.weight;
    again[j] = kind.boost;
    ensemble[j] = boosting_start(args.boosting);
    boost[j] = 1.0f;
  }
  for (std::int64_t k = 0; k < args.learners; ++k, scores += plane) {
    const BoostingStep step = boosting_step(args.boosting, k);
#pragma omp simd
    for (std::int64_t j = 0; j < count; ++j) {
      const BinomialKind kind{factor[j], weight[j], again[j]};
      const BinomialTerm term = binomial_term(kind, beta, step, scores[j], ensemble[j], boost[j]);
      scores[j] = term.slope;
      sums.loss[j] += term.loss;
      sums.slope[j] += term.slope;
    }
  }
}

/// The pairs of two groups of kTile rows, the second one not before the first.
void tile_of_pairs(const Call& call, std::int64_t tile_i, std::int64_t tile_j) {
  const BinomialLossArgs& args = call.args;
  const BinomialWorkspace& w = call.workspace;
  const std::int64_t i0 = tile_i * kTile, j0 = tile_j * kTile, rows = std::min(kTile, call.used - i0),
                     columns = std::min(kTile, call.used - j0);
  const float* x = args.x;
  for (std::int64_t k = 0; k < args.learners; ++k) {
    float* scores = w.slope + (k * args.rows + i0) * w.ld + j0;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, narrow(rows), narrow(columns), narrow(args.widths[k]), 1.0f,
                x + i0 * args.x_ld, narrow(args.x_ld), x + j0 * args.x_ld, narrow(args.x_ld), 0.0f, scores, narrow(w.ld));
    x += args.widths[k];
  }
  ColumnSums sums;
  for (std::int64_t i = i0; i < i0 + rows; ++i) row_of_pairs(call, i, j0, columns, w.slope + i * w.ld + j0, sums);
  const float copies = tile_i == tile_j ? 1.0f : 2.0f;  // a tile off the diagonal stands for its mirror image as well
  w.partial[tile_i * w.tiles + tile_j] = {copies * lane_sum(kTile, [&](std::int64_t j) { return sums.loss[j]; }),
                                          copies * lane_sum(kTile, [&](std::int64_t j) { return sums.slope[j]; })};
}

/// d_f_k = 2 ∂loss/∂S_k f_k for one group of kTile rows; the slopes left of its diagonal tile are read from their mirror image.
void rows_of_gradient(const Call& call, std::int64_t tile, std::int64_t k, std::int64_t column, float factor) {
  const BinomialLossArgs& args = call.args;
  const std::int64_t i0 = tile * kTile, rows = std::min(kTile, call.used - i0), width = args.widths[k], ld = call.workspace.ld;
  const float* slope = call.workspace.slope + k * args.rows * ld;
  const float* x = args.x + column;
  float* d_x = args.d_x + i0 * args.d_x_ld + column;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, narrow(rows), narrow(width), narrow(call.used - i0), factor,
              slope + i0 * ld + i0, narrow(ld), x + i0 * args.x_ld, narrow(args.x_ld),
              args.d_x_mode == GradMode::accumulate ? 1.0f : 0.0f, d_x, narrow(args.d_x_ld));
  if (i0 == 0) return;
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, narrow(rows), narrow(width), narrow(i0), factor, slope + i0, narrow(ld),
              x, narrow(args.x_ld), 1.0f, d_x, narrow(args.d_x_ld));
}

void row_gradients(const Call& call, std::int64_t tiles, float scale) {
  const BinomialLossArgs& args = call.args;
  std::int64_t begin[kMaxLearners + 1] = {};
  std::copy_n(args.widths, args.learners, begin + 1);
  for (std::int64_t k = 0; k < args.learners; ++k) begin[k + 1] += begin[k];
  parallel_for(tiles * args.learners, [&](std::int64_t task) {
    const std::int64_t k = task % args.learners;
    rows_of_gradient(call, task / args.learners, k, begin[k], 2.0f * scale);
  });
  if (args.d_x_mode != GradMode::overwrite) return;
  for (std::int64_t i = call.used; i < args.rows; ++i) std::fill_n(args.d_x + i * args.d_x_ld, begin[args.learners], 0.0f);
}

/// Sums the tiles in their order, and adds what belongs to β alone.
void finish(const Call& call, std::int64_t tiles, float scale) {
  const BinomialLossArgs& args = call.args;
  const float beta = *args.beta;
  float loss = 0.0f, slope = 0.0f;
  for (std::int64_t i = 0; i < tiles; ++i) {
    const BinomialPartial* row = call.workspace.partial + i * call.workspace.tiles + i;
    loss += lane_sum(tiles - i, [row](std::int64_t t) { return row[t].loss; });
    slope += lane_sum(tiles - i, [row](std::int64_t t) { return row[t].slope; });
  }
  const bool trained = args.beta_update == BinomialBetaUpdate::trained;
  const float penalty = trained ? static_cast<float>(args.learners) * args.nu : 0.0f;
  *args.loss = loss + penalty * std::abs(beta);
  if (args.d_beta_mode == GradMode::skip) return;
  const float sign = beta > 0.0f ? 1.0f : (beta < 0.0f ? -1.0f : 0.0f);
  const float gradient = trained ? scale * (penalty * sign - slope) : 0.0f;
  *args.d_beta = args.d_beta_mode == GradMode::accumulate ? *args.d_beta + gradient : gradient;
}

}  // namespace

std::size_t binomial_loss_workspace(const BinomialLossArgs& args) {
  return static_cast<std::size_t>(binomial_layout(args).bytes);
}

void binomial_loss(const BinomialLossArgs& args, Cpu) {
  Call call{.args = args, .workspace = binomial_workspace(args)};
  call.used = args.row_count ? std::clamp<std::int64_t>(*args.row_count, 0, args.rows) : args.rows;
  count_same(call);
  std::int64_t rows = 0, same = 0;
  for (std::int64_t i = 0; i < call.used; ++i) {
    rows += call.workspace.same[i] > 0 ? 1 : 0;
    same += call.workspace.same[i];
  }
  call.kinds = binomial_kinds(args, rows, same);
  const std::int64_t tiles = (call.used + kTile - 1) / kTile;
  parallel_for(tiles * (tiles + 1) / 2, [&](std::int64_t task) {
    std::int64_t i = 0;
    for (; task >= tiles - i; ++i) task -= tiles - i;
    tile_of_pairs(call, i, i + task);
  });
  const float scale = args.loss_scale ? *args.loss_scale : 1.0f;
  finish(call, tiles, scale);
  if (args.d_x_mode != GradMode::skip) row_gradients(call, tiles, scale);
}

}  // namespace swath::kernels
