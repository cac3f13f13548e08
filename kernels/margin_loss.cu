// Margin loss over triplets, on CUDA: a warp a triplet, then a block a row, a β and the loss. methods.md §6.
#include "kernels/aligned.cuh"
#include "kernels/launch.cuh"
#include "kernels/margin_loss.h"
#include "kernels/margin_loss_terms.h"
#include "kernels/match_list.cuh"
#include "kernels/reduce.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 128;
constexpr int kWarps = kBlock / kWarp;

__device__ std::int64_t triplets_in_use(const MarginLossArgs& args) {
  if (!args.triplet_count) return args.capacity;
  const std::int64_t count = *args.triplet_count;
  return count < 0 ? 0 : (count < args.capacity ? count : args.capacity);
}

template <int kWidth>
__global__ void __launch_bounds__(kBlock) margin_terms_kernel(MarginLossArgs args) {
  const int lane = threadIdx.x % kWarp;
  const std::int64_t used = triplets_in_use(args), stride = static_cast<std::int64_t>(gridDim.x) * kWarps;
  auto* terms = static_cast<MarginTerms*>(args.workspace);
  for (std::int64_t t = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; t < used; t += stride) {
    const std::int32_t* rows = args.triplets + 3 * t;
    const float* anchor = args.x + rows[0] * args.x_ld;
    const float* positive = args.x + rows[1] * args.x_ld;
    const float* negative = args.x + rows[2] * args.x_ld;
    float ap = 0.0f, an = 0.0f;
    for (std::int64_t k = lane * kWidth; k < args.cols; k += kWarp * kWidth) {
      const Floats<kWidth> a = load<kWidth>(anchor + k), p = load<kWidth>(positive + k), n = load<kWidth>(negative + k);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) {
        ap += (a.value[e] - p.value[e]) * (a.value[e] - p.value[e]);
        an += (a.value[e] - n.value[e]) * (a.value[e] - n.value[e]);
      }
    }
    const float d_ap = sqrtf(warp_reduce(ap, SumOp{}) + kMarginDistanceFloor);
    const float d_an = sqrtf(warp_reduce(an, SumOp{}) + kMarginDistanceFloor);
    if (lane == 0) terms[t] = margin_terms(args, args.beta[beta_index(args, t)], d_ap, d_an);
  }
}

/// loss_scale / A; 0 when A = 0.
__device__ float gradient_scale(const MarginLossArgs& args, int active) {
  return active > 0 ? (args.loss_scale ? *args.loss_scale : 1.0f) / static_cast<float>(active) : 0.0f;
}

template <int kWidth>
__device__ void add_scaled_difference(Floats<kWidth>& sum, float factor, const Floats<kWidth>& x, const float* other) {
  const Floats<kWidth> y = load<kWidth>(other);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) sum.value[e] += factor * (x.value[e] - y.value[e]);
}

/// The gradient of kBlock × kWidth columns of one row: the sum over the active triplets that name it, in their order.
template <int kWidth>
__device__ void row_gradient(const MarginLossArgs& args, std::int64_t row, std::int64_t k, MatchList<kBlock>& matches,
                             int* scratch) {
  const std::int64_t used = triplets_in_use(args);
  const auto* all_terms = static_cast<const MarginTerms*>(args.workspace);
  Floats<kWidth> x = {}, sum = {};
  if (k < args.cols) x = load<kWidth>(args.x + row * args.x_ld + k);
  int active = 0;
  for (std::int64_t t0 = 0; t0 < used; t0 += kBlock) {
    const std::int64_t t = t0 + threadIdx.x;
    const bool counts = t < used && is_active(all_terms[t]);
    active += counts ? 1 : 0;
    const std::int32_t* own = args.triplets + 3 * t;
    const int found = matches.collect(counts && (own[0] == row || own[1] == row || own[2] == row));
    for (int m = 0; m < found && k < args.cols; ++m) {
      const std::int32_t* rows = args.triplets + 3 * (t0 + matches.thread[m]);
      const MarginTerms terms = all_terms[t0 + matches.thread[m]];
      const float* column = args.x + k;
      if (rows[0] == row) {
        add_scaled_difference(sum, terms.pull, x, column + rows[1] * args.x_ld);
        add_scaled_difference(sum, -terms.push, x, column + rows[2] * args.x_ld);
      }
      if (rows[1] == row) add_scaled_difference(sum, terms.pull, x, column + rows[0] * args.x_ld);
      if (rows[2] == row) add_scaled_difference(sum, -terms.push, x, column + rows[0] * args.x_ld);
    }
  }
  const float scale = gradient_scale(args, block_reduce(active, SumOp{}, 0, scratch));
  if (k >= args.cols) return;
  float* d_x = args.d_x + row * args.d_x_ld + k;
  Floats<kWidth> out = {};
  if (args.d_x_mode == GradMode::accumulate) out = load<kWidth>(d_x);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) out.value[e] += scale * sum.value[e];
  store(d_x, out);
}

__device__ void beta_gradient(const MarginLossArgs& args, std::int64_t b, int* scratch) {
  const std::int64_t used = triplets_in_use(args);
  const auto* terms = static_cast<const MarginTerms*>(args.workspace);
  int active = 0, direction = 0, members = 0;
  for (std::int64_t t = threadIdx.x; t < used; t += kBlock) {
    active += is_active(terms[t]) ? 1 : 0;
    if (beta_index(args, t) != b) continue;
    direction += (terms[t].push > 0.0f ? 1 : 0) - (terms[t].pull > 0.0f ? 1 : 0);
    ++members;
  }
  active = block_reduce(active, SumOp{}, 0, scratch);
  direction = block_reduce(direction, SumOp{}, 0, scratch);
  members = block_reduce(members, SumOp{}, 0, scratch);
  if (threadIdx.x != 0) return;
  const int regularised = args.beta_kind == MarginBeta::scalar ? 1 : members;
  float gradient = 0.0f;
  if (args.beta_update == MarginBetaUpdate::trained) {
    gradient = gradient_scale(args, active) *
               (static_cast<float>(direction) + args.nu * sign(args.beta[b]) * static_cast<float>(regularised));
  }
  args.d_beta[b] = args.d_beta_mode == GradMode::accumulate ? args.d_beta[b] + gradient : gradient;
}

__device__ void write_loss(const MarginLossArgs& args, int* int_scratch, float* scratch) {
  const std::int64_t used = triplets_in_use(args);
  const auto* terms = static_cast<const MarginTerms*>(args.workspace);
  int active = 0;
  float sum = 0.0f, penalty = 0.0f;
  for (std::int64_t t = threadIdx.x; t < used; t += kBlock) {
    active += is_active(terms[t]) ? 1 : 0;
    sum += terms[t].loss;
    penalty += terms[t].abs_beta;
  }
  active = block_reduce(active, SumOp{}, 0, int_scratch);
  sum = block_reduce(sum, SumOp{}, 0.0f, scratch);
  penalty = block_reduce(penalty, SumOp{}, 0.0f, scratch);
  if (threadIdx.x != 0) return;
  if (args.beta_kind == MarginBeta::scalar) penalty = fabsf(args.beta[0]);
  if (args.beta_update == MarginBetaUpdate::trained) sum += args.nu * penalty;
  *args.loss = active > 0 ? sum / static_cast<float>(active) : 0.0f;
  if (args.active) *args.active = static_cast<float>(active);
}

/// Tasks of the second kernel, in this order: rows of d_x, numbers of d_beta, the loss.
struct Tasks {
  std::int64_t rows, betas;
};

template <int kWidth>
__global__ void __launch_bounds__(kBlock, 8) margin_gradient_kernel(MarginLossArgs args, Tasks tasks) {
  __shared__ MatchList<kBlock> matches;
  __shared__ int int_scratch[kWarp + 1];
  __shared__ float scratch[kWarp + 1];
  const std::int64_t k = (static_cast<std::int64_t>(blockIdx.y) * kBlock + threadIdx.x) * kWidth;
  const std::int64_t last = blockIdx.y == 0 ? tasks.rows + tasks.betas : tasks.rows - 1;
  for (std::int64_t task = blockIdx.x; task <= last; task += gridDim.x) {
    if (task < tasks.rows) {
      row_gradient<kWidth>(args, task, k, matches, int_scratch);
    } else if (task < tasks.rows + tasks.betas) {
      beta_gradient(args, task - tasks.rows, int_scratch);
    } else {
      write_loss(args, int_scratch, scratch);
    }
  }
}

}  // namespace

void margin_loss(const MarginLossArgs& args, CudaStream exec) {
  const bool wide =
      quads(args.cols, args.x, args.x_ld) && (args.d_x_mode == GradMode::skip || quads(args.cols, args.d_x, args.d_x_ld));
  if (args.capacity > 0) {
    launch(wide ? margin_terms_kernel<4> : margin_terms_kernel<1>, grid_for(args.capacity, kWarps), kBlock, 0, exec, args);
  }
  Tasks tasks{0, 0};
  if (args.d_x_mode != GradMode::skip) tasks.rows = args.rows;
  if (args.d_beta_mode != GradMode::skip) tasks.betas = args.beta_kind == MarginBeta::scalar ? 1 : args.classes;
  const std::int64_t slabs = ceil_div(args.cols, kBlock * (wide ? 4 : 1));
  const dim3 grid(grid_for(tasks.rows + tasks.betas + 1, 1), static_cast<unsigned>(slabs > 1 ? slabs : 1));
  launch(wide ? margin_gradient_kernel<4> : margin_gradient_kernel<1>, grid, kBlock, 0, exec, args, tasks);
}

}  // namespace swath::kernels
