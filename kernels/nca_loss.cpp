// NCA with a memory bank on the CPU: one pass over the bank; runs of tiles with running maxima side by side. methods.md §6.
// This file is compiled without contraction, as kernels/portable_math.h asks.
#include "kernels/nca_loss.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "kernels/dispatch.h"
#include "kernels/label_mask.h"
#include "kernels/lanes.h"
#include "kernels/nca_loss_plan.h"
#include "kernels/nca_loss_terms.h"
#include "kernels/parallel.h"
#include "kernels/portable_math.h"

namespace swath::kernels {
namespace {

using nca_plan::Host;

struct Problem {
  const NcaLossArgs& args;
  Host plan;
  NcaFactors factors;
  std::int64_t bank_rows, first_row;

  explicit Problem(const NcaLossArgs& a)
      : args(a), plan(a), factors(nca_factors(a)), bank_rows(nca_bank_rows(a)), first_row(nca_first_row(a)) {}
  bool in_use(std::int64_t i) const { return args.index[i] >= 0 && args.index[i] < bank_rows; }
  float* row_losses() const { return static_cast<float*>(args.workspace); }
};

/// A block of the batch's rows against a run of tiles. `sums` holds, for every row, Σ exp(s − shift) · factor of Z' · M_j, and
/// behind all of these the same for P; `weights` the factors of M_j in these sums for one tile.
struct Task {
  std::int64_t first, count;  // rows of the batch
  std::int64_t begin, end;    // tiles
  float *weights, *sums, *widened;
  NcaSums* rows;
  std::uint64_t* labels;

  Task(const Problem& p, std::int64_t block, std::int64_t run) {
    const Host& plan = p.plan;
    first = block * plan.block_rows;
    count = std::min(plan.block_rows, p.args.batch - first);
    begin = run * plan.tiles / plan.runs;
    end = (run + 1) * plan.tiles / plan.runs;
    weights = p.row_losses() + plan.row_losses(p.args) + (block * plan.runs + run) * plan.task_floats;
    sums = weights + plan.weights;
    rows = reinterpret_cast<NcaSums*>(sums + plan.sums);
    widened = sums + plan.sums + plan.row_sums;
    labels = reinterpret_cast<std::uint64_t*>(widened + plan.widened);
  }
};

/// Rows [j, j + n) of the bank.
struct Tile {
  std::int64_t j, n;
  const float* values;  // n × cols
};

void multiply(CBLAS_TRANSPOSE op_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a,
              std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  const auto narrow = [](std::int64_t v) { return static_cast<blasint>(std::max<std::int64_t>(1, v)); };
  cblas_sgemm(CblasRowMajor, CblasNoTrans, op_b, narrow(m), narrow(n), narrow(k), alpha, a, narrow(lda), b, narrow(ldb), beta,
              c, narrow(ldc));
}

Tile load_tile(const Problem& p, const Task& task, std::int64_t t) {
  const NcaLossArgs& args = p.args;
  Tile tile{t * Host::kTile, std::min(Host::kTile, args.rows - t * Host::kTile), nullptr};
  if (args.bank_type == DType::f32) {
    tile.values = typed<float>(args.bank) + tile.j * args.cols;
  } else {
    const bf16* values = typed<bf16>(args.bank) + tile.j * args.cols;
    for (std::int64_t k = 0; k < tile.n * args.cols; ++k) task.widened[k] = to_float(values[k]);
    tile.values = task.widened;
  }
  const std::int64_t words = label_words(args.classes);
  for (std::int64_t w = 0; w < words; ++w) {
    for (std::int64_t j = 0; j < tile.n; ++j)
      task.labels[w * Host::kTile + j] = args.labels[(p.first_row + tile.j + j) * words + w];
  }
  return tile;
}

/// common[j] = number of classes that t(i) shares with row j of the tile.
void count_common(const Problem& p, const Task& task, const Tile& tile, std::int64_t i, float* common) {
  const std::int64_t words = label_words(p.args.classes);
  const std::uint64_t* own = p.args.labels + p.args.index[i] * words;
  for (std::int64_t j = 0; j < tile.n; ++j) common[j] = static_cast<float>(__builtin_popcountll(own[0] & task.labels[j]));
  for (std::int64_t w = 1; w < words; ++w) {
    const std::uint64_t* labels = task.labels + w * Host::kTile;
    for (std::int64_t j = 0; j < tile.n; ++j) common[j] += static_cast<float>(__builtin_popcountll(own[w] & labels[j]));
  }
}

/// Raises a shift to `largest`, with the row of sums that is relative to it.
void raise(const Problem& p, float largest, float* shift, float* sum, float* row, bool first) {
  if (!(largest > *shift)) return;
  const float shrink = nca_rescale(*shift, largest);
  *shift = largest;
  *sum *= shrink;
  if (first || p.args.d_embeddings_mode == GradMode::skip) return;
  for (std::int64_t k = 0; k < p.args.cols; ++k) row[k] *= shrink;
}

/// Row r of the block against a tile: its similarities become the weights of both sums.
void add_to_row(const Problem& p, const Task& task, const Tile& tile, std::int64_t r, bool first) {
  const NcaFactors factors = p.factors;
  const std::int64_t n = tile.n, i = task.first + r, self = p.args.index[i] - p.first_row - tile.j;
  float* total = task.weights + r * Host::kTile;
  float* positive = total + task.count * Host::kTile;
  NcaSums& row = task.rows[r];
  alignas(64) float common[Host::kTile];
  count_common(p, task, tile, i, common);
  if (self >= 0 && self < n) total[self] = -INFINITY;
  float largest = -INFINITY, largest_positive = -INFINITY;
#pragma omp simd reduction(max : largest, largest_positive)
  for (std::int64_t j = 0; j < n; ++j) {
    const float s = total[j], s_positive = common[j] > 0.0f ? s : -INFINITY;
    largest = largest < s ? s : largest;
    largest_positive = largest_positive < s_positive ? s_positive : largest_positive;
  }
  raise(p, largest, &row.shift, &row.total, task.sums + r * p.args.cols, first);
  raise(p, largest_positive, &row.positive_shift, &row.positive, task.sums + (task.count + r) * p.args.cols, first);
  const float shift = row.shift == -INFINITY ? 0.0f : row.shift;
  const float positive_shift = row.positive_shift == -INFINITY ? 0.0f : row.positive_shift;
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) {
    const float weight = portable::exp(total[j] - positive_shift) * factors.positive(common[j]);
    positive[j] = common[j] > 0.0f ? weight : 0.0f;
    total[j] = portable::exp(total[j] - shift) * factors.total(common[j]);
  }
  row.total += lane_sum(n, [total](std::int64_t j) { return total[j]; });
  row.positive += lane_sum(n, [positive](std::int64_t j) { return positive[j]; });
}

void run_task(const Problem& p, const Task& task) {
  const NcaLossArgs& args = p.args;
  std::fill_n(task.rows, task.count, nca_no_sums());
  for (std::int64_t t = task.begin; t < task.end; ++t) {
    const Tile tile = load_tile(p, task, t);
    multiply(CblasTrans, task.count, tile.n, args.cols, p.factors.inv_temperature,
             args.embeddings + task.first * args.embeddings_ld, args.embeddings_ld, tile.values, args.cols, 0.0f, task.weights,
             Host::kTile);
    for (std::int64_t r = 0; r < task.count; ++r) {
      if (p.in_use(task.first + r)) {
        add_to_row(p, task, tile, r, t == task.begin);
      } else {
        std::fill_n(task.weights + r * Host::kTile, tile.n, 0.0f);
        std::fill_n(task.weights + (task.count + r) * Host::kTile, tile.n, 0.0f);
      }
    }
    if (args.d_embeddings_mode == GradMode::skip) continue;
    multiply(CblasNoTrans, 2 * task.count, args.cols, tile.n, 1.0f, task.weights, Host::kTile, tile.values, args.cols,
             t == task.begin ? 0.0f : 1.0f, task.sums, args.cols);
  }
}

/// The runs' sums of row i put together.
NcaSums sums_of_runs(const Problem& p, std::int64_t i) {
  const std::int64_t block = i / p.plan.block_rows, r = i - block * p.plan.block_rows;
  NcaSums row = nca_no_sums();
  for (std::int64_t run = 0; run < p.plan.runs; ++run) row = nca_merge(row, Task(p, block, run).rows[r]);
  return row;
}

NcaSums sums_of_slices(const Problem& p, std::int64_t i) {
  NcaSums row = nca_no_sums();
  for (std::int64_t slice = 0; slice < p.args.slices; ++slice) row = nca_merge(row, nca_slice_sums(p.args, slice)[i]);
  return row;
}

/// The loss of row i, and its gradient.
float finish_row(const Problem& p, std::int64_t i, float scale) {
  const NcaLossArgs& args = p.args;
  float* out = args.d_embeddings + i * args.d_embeddings_ld;
  if (args.d_embeddings_mode == GradMode::overwrite) std::fill_n(out, args.cols, 0.0f);
  if (!p.in_use(i)) return 0.0f;
  const std::int64_t block = i / p.plan.block_rows, r = i - block * p.plan.block_rows;
  const NcaSums row = args.part == NcaPart::loss ? sums_of_slices(p, i) : sums_of_runs(p, i);
  if (args.d_embeddings_mode != GradMode::skip && nca_takes_part(row)) {
    for (std::int64_t run = 0; run < p.plan.runs; ++run) {
      const Task task(p, block, run);
      const float* total = task.sums + r * args.cols;
      const float* positive = total + task.count * args.cols;
      const float pull = scale * nca_rescale(task.rows[r].positive_shift, row.positive_shift) / row.positive;
      const float push = scale * nca_rescale(task.rows[r].shift, row.shift) / row.total;
#pragma omp simd
      for (std::int64_t k = 0; k < args.cols; ++k) out[k] += push * total[k] - pull * positive[k];
    }
  }
  return nca_row_loss(p.factors, row);
}

}  // namespace

std::size_t nca_loss_workspace(const NcaLossArgs& args) {
  NcaLossArgs sizes = args;
  sizes.workspace = nullptr;
  return std::max(nca_plan::Cuda(sizes).bytes, Host(args).bytes(args));
}

void nca_loss(const NcaLossArgs& args, Cpu) {
  check_nca_arguments(args);
  const Problem problem(args);
  // Always inside a parallel region: there a matrix product stays on its thread, and its sums in one order.
  if (args.part != NcaPart::loss)
    parallel_for(
        problem.plan.blocks * problem.plan.runs,
        [&](std::int64_t t) { run_task(problem, Task(problem, t / problem.plan.runs, t % problem.plan.runs)); }, 0);
  if (args.part == NcaPart::sums) {
    for (std::int64_t i = 0; i < args.batch; ++i) nca_slice_sums(args, args.slice)[i] = sums_of_runs(problem, i);
    return;
  }
  std::int64_t used = 0;
  for (std::int64_t i = 0; i < args.batch; ++i) used += problem.in_use(i) ? 1 : 0;
  const float inv_used = 1.0f / static_cast<float>(std::max<std::int64_t>(1, used));
  const float scale = (args.loss_scale ? *args.loss_scale : 1.0f) * problem.factors.inv_temperature * inv_used;
  float* losses = problem.row_losses();
  parallel_for(
      args.batch, [&](std::int64_t i) { losses[i] = finish_row(problem, i, scale); },
      serial_below_for(args.cols * std::max<std::int64_t>(1, problem.plan.runs)));
  *args.loss = lane_sum(args.batch, [losses](std::int64_t i) { return losses[i]; }) * inv_used;
}

}  // namespace swath::kernels
