// Fast MoCo on the CPU: one pass over the queue in tiles of columns; groups of tiles run side by side. methods.md §6.
// This file is compiled without contraction, which kernels/portable_math.h asks for.
#include "kernels/moco_loss.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "kernels/lanes.h"
#include "kernels/moco_loss_plan.h"
#include "kernels/moco_loss_terms.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

using moco_plan::Host;
using moco_plan::round_up;

/// The call with its sizes resolved.
struct Problem {
  const MocoLossArgs& args;
  Host plan;
  MocoDensity density;
  std::int64_t used, keys;
  const float* positive;  // rows: l⁺/τ
};

/// What one group of tiles keeps: scratch tiles, and per row the running maximum of the logits, the sum of their exponentials
/// below it, and Σ_j exp(l_ij − maximum) ω_ij Q_j.
struct Group {
  float *products, *weights, *shift, *sum, *gradient;

  Group(const Problem& p, std::int64_t index) {
    float* at = static_cast<float*>(p.args.workspace) + round_up(p.args.rows, 16) + index * p.plan.group_floats;
    const std::int64_t tile = round_up(p.args.rows * p.plan.tile, 16), row = round_up(p.args.rows, 16);
    products = at;
    weights = products + tile;
    shift = weights + tile;
    sum = shift + row;
    gradient = sum + row;
  }
};

void multiply(CBLAS_TRANSPOSE op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda,
              const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  const auto narrow = [](std::int64_t v) { return static_cast<blasint>(std::max<std::int64_t>(1, v)); };
  cblas_sgemm(CblasRowMajor, CblasNoTrans, op_b, narrow(m), narrow(n), narrow(k), 1.0f, a, narrow(lda), b, narrow(ldb), beta, c,
              narrow(ldc));
}

/// products → weights ω of `columns` (≤ tile) columns, over all rows in use.
void weigh_columns(const Problem& p, const Group& group, std::int64_t columns) {
  alignas(64) float shift[Host::kMaxTile], factor[Host::kMaxTile], uniform[Host::kMaxTile];
  std::fill_n(shift, columns, -INFINITY);
  std::fill_n(factor, columns, 0.0f);
  const MocoDensity density = p.density;
  for (std::int64_t i = 0; i < p.used; ++i) {
    const float* product = group.products + i * p.plan.tile;
    float* exponent = group.weights + i * p.plan.tile;
#pragma omp simd
    for (std::int64_t j = 0; j < columns; ++j) {
      exponent[j] = density.exponent(product[j]);
      shift[j] = shift[j] < exponent[j] ? exponent[j] : shift[j];
    }
  }
  // A column without a row within the cutoff has shift −∞: any finite one makes all its exponentials 0.
  for (std::int64_t j = 0; j < columns; ++j) shift[j] = shift[j] == -INFINITY ? 0.0f : shift[j];
  for (std::int64_t i = 0; i < p.used; ++i) {
    float* weight = group.weights + i * p.plan.tile;
#pragma omp simd
    for (std::int64_t j = 0; j < columns; ++j) {
      weight[j] = portable::exp(weight[j] - shift[j]);
      factor[j] += weight[j];
    }
  }
  for (std::int64_t j = 0; j < columns; ++j) {
    uniform[j] = factor[j] == 0.0f ? 1.0f / static_cast<float>(p.used) : 0.0f;
    factor[j] = factor[j] == 0.0f ? 0.0f : 1.0f / factor[j];
  }
  for (std::int64_t i = 0; i < p.used; ++i) {
    float* weight = group.weights + i * p.plan.tile;
#pragma omp simd
    for (std::int64_t j = 0; j < columns; ++j) weight[j] = weight[j] * factor[j] + uniform[j];
  }
}

/// Adds the tile's logits to the row's maximum and sum; the weights become exp(l − maximum) ω.
void add_to_row(const Problem& p, const Group& group, std::int64_t i, std::int64_t columns, bool first) {
  float* logit = group.products + i * p.plan.tile;
  float* weight = group.weights + i * p.plan.tile;
  const float inv_tau = 1.0f / p.args.tau;
  float largest = group.shift[i];
#pragma omp simd reduction(max : largest)
  for (std::int64_t j = 0; j < columns; ++j) {
    logit[j] *= weight[j] * inv_tau;
    largest = largest < logit[j] ? logit[j] : largest;
  }
  if (largest > group.shift[i]) {
    const float shrink = portable::exp(group.shift[i] - largest);
    group.shift[i] = largest;
    group.sum[i] *= shrink;
    if (!first) cblas_sscal(static_cast<blasint>(p.args.cols), shrink, group.gradient + i * p.args.cols, 1);
  }
#pragma omp simd
  for (std::int64_t j = 0; j < columns; ++j) {
    logit[j] = portable::exp(logit[j] - largest);
    weight[j] *= logit[j];
  }
  group.sum[i] += lane_sum(columns, [logit](std::int64_t j) { return logit[j]; });
}

void run_group(const Problem& p, std::int64_t index) {
  const MocoLossArgs& args = p.args;
  const Group group(p, index);
  std::copy_n(p.positive, p.used, group.shift);
  std::fill_n(group.sum, p.used, 0.0f);
  const std::int64_t begin = index * p.plan.tiles / p.plan.groups, end = (index + 1) * p.plan.tiles / p.plan.groups;
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t columns = std::min(p.plan.tile, p.keys - t * p.plan.tile);
    const float* keys = args.queue + t * p.plan.tile * args.cols;
    multiply(CblasTrans, p.used, columns, args.cols, args.queries, args.queries_ld, keys, args.cols, 0.0f, group.products,
             p.plan.tile);
    weigh_columns(p, group, columns);
    for (std::int64_t i = 0; i < p.used; ++i) add_to_row(p, group, i, columns, t == begin);
    if (args.d_queries_mode == GradMode::skip) continue;
    multiply(CblasNoTrans, p.used, args.cols, columns, group.weights, p.plan.tile, keys, args.cols, t == begin ? 0.0f : 1.0f,
             group.gradient, args.cols);
  }
}

/// The groups' sums of row i put together: its loss, and its gradient.
float finish_row(const Problem& p, std::int64_t i, float scale) {
  const MocoLossArgs& args = p.args;
  float shift = p.positive[i], negatives = 0.0f;
  float shrink[Host::kMaxGroups];
  for (std::int64_t g = 0; g < p.plan.groups; ++g) shift = std::max(shift, Group(p, g).shift[i]);
  for (std::int64_t g = 0; g < p.plan.groups; ++g) {
    const Group group(p, g);
    shrink[g] = portable::exp(group.shift[i] - shift);
    negatives += shrink[g] * group.sum[i];
  }
  const MocoRow result = moco_row(p.positive[i], shift, negatives);
  if (args.d_queries_mode == GradMode::skip) return result.loss;
  float* out = args.d_queries + i * args.d_queries_ld;
  const float* key = args.keys + i * args.keys_ld;
  const float pull = scale * result.negative_share, push = scale * result.inv_total;
  if (args.d_queries_mode == GradMode::overwrite) std::fill_n(out, args.cols, 0.0f);
  for (std::int64_t g = 0; g < p.plan.groups; ++g) {
    const float* gradient = Group(p, g).gradient + i * args.cols;
    const float factor = push * shrink[g];
#pragma omp simd
    for (std::int64_t k = 0; k < args.cols; ++k) out[k] += factor * gradient[k];
  }
#pragma omp simd
  for (std::int64_t k = 0; k < args.cols; ++k) out[k] -= pull * key[k];
  return result.loss;
}

}  // namespace

std::size_t moco_loss_workspace(const MocoLossArgs& args) {
  MocoLossArgs sizes = args;
  sizes.workspace = nullptr;
  return std::max(moco_plan::Cuda(sizes).bytes, Host(args, args.capacity).bytes(args));
}

void moco_loss(const MocoLossArgs& args, Cpu) {
  const std::int64_t used = args.row_count ? std::clamp<std::int64_t>(*args.row_count, 0, args.rows) : args.rows;
  const std::int64_t keys =
      args.pushed ? static_cast<std::int64_t>(std::min<std::uint64_t>(*args.pushed, static_cast<std::uint64_t>(args.capacity)))
                  : args.capacity;
  auto* positive = static_cast<float*>(args.workspace);
  const float inv_tau = 1.0f / args.tau;
  parallel_for(
      used,
      [&](std::int64_t i) {
        const float *query = args.queries + i * args.queries_ld, *key = args.keys + i * args.keys_ld;
        positive[i] = inv_tau * lane_sum(args.cols, [query, key](std::int64_t k) { return query[k] * key[k]; });
      },
      serial_below_for(args.cols));
  const Problem problem{args, Host(args, keys), moco_density(args), used, keys, positive};
  // Always inside a parallel region: there a matrix product stays on its thread, and its sums in one order.
  if (used > 0)
    parallel_for(
        problem.plan.groups, [&](std::int64_t g) { run_group(problem, g); }, 0);
  const float scale =
      (args.loss_scale ? *args.loss_scale : 1.0f) / (args.tau * static_cast<float>(std::max<std::int64_t>(used, 1)));
  parallel_for(
      used, [&](std::int64_t i) { positive[i] = finish_row(problem, i, scale); },
      serial_below_for(args.cols * std::max<std::int64_t>(1, problem.plan.groups)));
  if (args.d_queries_mode == GradMode::overwrite) {
    for (std::int64_t i = used; i < args.rows; ++i) std::fill_n(args.d_queries + i * args.d_queries_ld, args.cols, 0.0f);
  }
  *args.loss = used > 0 ? lane_sum(used, [positive](std::int64_t i) { return positive[i]; }) / static_cast<float>(used) : 0.0f;
}

}  // namespace swath::kernels
