// Fast MoCo on CUDA: products, weights of the columns, rows, gradient products, and their sum. methods.md §6.
#include "kernels/aligned.cuh"
#include "kernels/launch.cuh"
#include "kernels/moco_loss.h"
#include "kernels/moco_loss_plan.h"
#include "kernels/moco_loss_terms.h"
#include "kernels/reduce.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 256;
constexpr int kTile = moco_plan::Cuda::kTile;
constexpr int kDepth = 16;
constexpr int kPitch = kTile + 4;  // whole groups of four, and a deposit meets no more than two threads on a bank
constexpr int kEdge = 4;           // a thread has kEdge × kEdge sums

struct Layout {
  float *products, *columns, *row_terms, *partials;
  std::int64_t products_ld, splits, span;
};

__device__ std::int64_t rows_in_use(const MocoLossArgs& args) {
  if (!args.row_count) return args.rows;
  const std::int64_t count = *args.row_count;
  return count < 0 ? 0 : (count < args.rows ? count : args.rows);
}

__device__ std::int64_t keys_in_queue(const MocoLossArgs& args) {
  if (!args.pushed || *args.pushed >= static_cast<std::uint64_t>(args.capacity)) return args.capacity;
  return static_cast<std::int64_t>(*args.pushed);
}

/// kDepth terms of kTile rows or columns, the index of the term first.
struct Slab {
  float value[kDepth][kPitch];
};

/// Four terms k … k + 3 of a row; those from `end` on are zero.
template <int kWidth>
__device__ Floats<4> fetch(const float* row, std::int64_t k, std::int64_t end) {
  Floats<4> v = {};
  if constexpr (kWidth == 4) {
    if (k < end) v = load<4>(row + k);
#pragma unroll
    for (int e = 0; e < 4; ++e) v.value[e] = k + e < end ? v.value[e] : 0.0f;
  } else {
#pragma unroll
    for (int e = 0; e < 4; ++e) v.value[e] = k + e < end ? row[k + e] : 0.0f;
  }
  return v;
}

/// A thread's four terms of one row, for a slab whose terms run along the row.
__device__ void deposit_row(Slab& slab, const Floats<4>& v) {
#pragma unroll
  for (int e = 0; e < 4; ++e) slab.value[threadIdx.x % 4 * 4 + e][threadIdx.x / 4] = v.value[e];
}

/// sum[r][c] += Σ over the slab's terms of a[4·(thread / 16) + r] · b[4·(thread mod 16) + c].
__device__ void add_products(float (&sum)[kEdge][kEdge], const Slab& a, const Slab& b) {
  const int row = threadIdx.x / 16 * kEdge, column = threadIdx.x % 16 * kEdge;
#pragma unroll
  for (int k = 0; k < kDepth; ++k) {
    const Floats<4> x = load<4>(&a.value[k][row]), y = load<4>(&b.value[k][column]);
#pragma unroll
    for (int r = 0; r < kEdge; ++r) {
#pragma unroll
      for (int c = 0; c < kEdge; ++c) sum[r][c] = fmaf(x.value[r], y.value[c], sum[r][c]);
    }
  }
}

/// products[i][j] = ⟨q_i, Q_j⟩, a block for 64 × 64 of them.
template <int kWidth>
__global__ void __launch_bounds__(kBlock) products_kernel(MocoLossArgs args, Layout work) {
  __shared__ __align__(16) Slab a, b;
  const std::int64_t used = rows_in_use(args), keys = keys_in_queue(args);
  const std::int64_t i0 = static_cast<std::int64_t>(blockIdx.y) * kTile, j0 = static_cast<std::int64_t>(blockIdx.x) * kTile;
  if (i0 >= used || j0 >= keys) return;
  const std::int64_t i = i0 + threadIdx.x / 4, j = j0 + threadIdx.x / 4, k = threadIdx.x % 4 * 4;
  const float* query = args.queries + i * args.queries_ld;
  const float* key = args.queue + j * args.cols;
  const std::int64_t query_end = i < used ? args.cols : 0, key_end = j < keys ? args.cols : 0;
  float sum[kEdge][kEdge] = {};
  Floats<4> next_a = fetch<kWidth>(query, k, query_end), next_b = fetch<kWidth>(key, k, key_end);
  for (std::int64_t k0 = 0; k0 < args.cols; k0 += kDepth) {
    __syncthreads();
    deposit_row(a, next_a);
    deposit_row(b, next_b);
    __syncthreads();
    next_a = fetch<kWidth>(query, k0 + kDepth + k, query_end);
    next_b = fetch<kWidth>(key, k0 + kDepth + k, key_end);
    add_products(sum, a, b);
  }
  const std::int64_t row = i0 + threadIdx.x / 16 * kEdge, column = j0 + threadIdx.x % 16 * kEdge;
#pragma unroll
  for (int r = 0; r < kEdge; ++r) {
    if (row + r >= used || column >= work.products_ld) continue;
    store(work.products + (row + r) * work.products_ld + column, Floats<4>{{sum[r][0], sum[r][1], sum[r][2], sum[r][3]}});
  }
}

/// The shift and factor of 32 columns' weights: 8 threads a column, each over every eighth row.
__global__ void __launch_bounds__(kBlock) columns_kernel(MocoLossArgs args, Layout work) {
  __shared__ float shifts[kBlock / kWarp][kWarp], sums[kBlock / kWarp][kWarp];
  const std::int64_t used = rows_in_use(args), keys = keys_in_queue(args);
  const int lane = threadIdx.x % kWarp, part_of = threadIdx.x / kWarp;
  const MocoDensity density = moco_density(args);
  for (std::int64_t j0 = static_cast<std::int64_t>(blockIdx.x) * kWarp; j0 < keys;
       j0 += static_cast<std::int64_t>(gridDim.x) * kWarp) {
    const std::int64_t j = j0 + lane;
    ExpSum sum;
    if (j < keys) {
      for (std::int64_t i = part_of; i < used; i += kBlock / kWarp)
        sum.add(density.exponent(work.products[i * work.products_ld + j]));
    }
    shifts[part_of][lane] = sum.shift;
    sums[part_of][lane] = sum.sum;
    __syncthreads();
    if (part_of == 0 && j < keys) {
      for (int p = 1; p < kBlock / kWarp; ++p) sum.merge({shifts[p][lane], sums[p][lane]});
      work.columns[2 * j] = sum.shift;
      work.columns[2 * j + 1] = sum.shift == -INFINITY ? 0.0f : 1.0f / sum.sum;
    }
    __syncthreads();
  }
}

/// What a row's softmax needs of column j.
/// A logit is never fused with the subtraction of a shift, which is the rounded value of one of them.
struct Logit {
  float weight, value;
};
__device__ Logit logit(const MocoDensity& density, const Layout& work, std::int64_t j, float product, float uniform,
                       float inv_tau) {
  const float2 column = reinterpret_cast<const float2*>(work.columns)[j];  // shift, factor
  const float weight = density.weight(product, column.x, column.y, uniform);
  return {weight, portable::mul(portable::mul(weight, product), inv_tau)};
}

/// A block a row: its loss, and the products become p_ij ω_ij.
__global__ void __launch_bounds__(kBlock) rows_kernel(MocoLossArgs args, Layout work) {
  __shared__ float scratch[kWarp + 1];
  const std::int64_t used = rows_in_use(args), keys = keys_in_queue(args);
  const MocoDensity density = moco_density(args);
  const float inv_tau = 1.0f / args.tau, uniform = 1.0f / static_cast<float>(used);
  for (std::int64_t i = blockIdx.x; i < used; i += gridDim.x) {
    float* row = work.products + i * work.products_ld;
    const float *query = args.queries + i * args.queries_ld, *key = args.keys + i * args.keys_ld;
    float dot = 0.0f;
    for (std::int64_t k = threadIdx.x; k < args.cols; k += kBlock) dot = fmaf(query[k], key[k], dot);
    const float positive = portable::mul(block_reduce(dot, SumOp{}, 0.0f, scratch), inv_tau);
    ExpSum sum{positive, 0.0f};
    for (std::int64_t j = threadIdx.x; j < keys; j += kBlock) sum.add(logit(density, work, j, row[j], uniform, inv_tau).value);
    const float shift = block_reduce(sum.shift, MaxOp{}, positive, scratch);
    const float negatives = block_reduce(sum.sum * portable::exp(sum.shift - shift), SumOp{}, 0.0f, scratch);
    const MocoRow result = moco_row(positive, shift, negatives);
    if (threadIdx.x == 0) {
      work.row_terms[2 * i] = result.loss;
      work.row_terms[2 * i + 1] = result.negative_share;
    }
    if (args.d_queries_mode == GradMode::skip) continue;
    for (std::int64_t j = threadIdx.x; j < keys; j += kBlock) {
      const Logit l = logit(density, work, j, row[j], uniform, inv_tau);
      row[j] = portable::exp(l.value - shift) * result.inv_total * l.weight;
    }
  }
}

/// partials[s][i][k] = Σ_j p_ij ω_ij Q_jk over the columns j of split s, a block for 64 × 64 of them.
template <int kWidth>
__global__ void __launch_bounds__(kBlock) gradient_kernel(MocoLossArgs args, Layout work) {
  __shared__ __align__(16) Slab a, b;
  const std::int64_t used = rows_in_use(args), keys = keys_in_queue(args);
  const std::int64_t i0 = static_cast<std::int64_t>(blockIdx.y) * kTile, k0 = static_cast<std::int64_t>(blockIdx.x) * kTile;
  if (i0 >= used) return;
  const std::int64_t begin = blockIdx.z * work.span, end = begin + work.span < keys ? begin + work.span : keys;
  const std::int64_t i = i0 + threadIdx.x / 4, row_term = threadIdx.x % 4 * 4;
  const std::int64_t column = k0 + threadIdx.x % 16 * 4, column_term = threadIdx.x / 16;
  const float* share = work.products + i * work.products_ld;
  const auto next_share = [&](std::int64_t j) { return fetch<4>(share, j + row_term, i < used ? end : 0); };
  const auto next_keys = [&](std::int64_t j) {
    return fetch<kWidth>(args.queue + (j + column_term) * args.cols, column, j + column_term < end ? args.cols : 0);
  };
  float sum[kEdge][kEdge] = {};
  Floats<4> next_a = next_share(begin), next_b = next_keys(begin);
  for (std::int64_t j = begin; j < end; j += kDepth) {
    __syncthreads();
    deposit_row(a, next_a);
    store_shared(&b.value[column_term][threadIdx.x % 16 * 4], next_b);
    __syncthreads();
    next_a = next_share(j + kDepth);
    next_b = next_keys(j + kDepth);
    add_products(sum, a, b);
  }
  float* out = work.partials + static_cast<std::int64_t>(blockIdx.z) * args.rows * args.cols;
  const std::int64_t row = i0 + threadIdx.x / 16 * kEdge;
#pragma unroll
  for (int r = 0; r < kEdge; ++r) {
    if (row + r >= used || column >= args.cols) continue;
    float* to = out + (row + r) * args.cols + column;
    if constexpr (kWidth == 4) {
      store(to, Floats<4>{{sum[r][0], sum[r][1], sum[r][2], sum[r][3]}});
    } else {
#pragma unroll
      for (int c = 0; c < kEdge; ++c) {
        if (column + c < args.cols) to[c] = sum[r][c];
      }
    }
  }
}

__device__ void write_loss(const MocoLossArgs& args, const Layout& work, std::int64_t used, float* scratch) {
  float sum = 0.0f;
  for (std::int64_t i = threadIdx.x; i < used; i += kBlock) sum += work.row_terms[2 * i];
  sum = block_reduce(sum, SumOp{}, 0.0f, scratch);
  if (threadIdx.x == 0) *args.loss = used > 0 ? sum / static_cast<float>(used) : 0.0f;
}

/// Block 0 the loss; the others d_q = (Σ_s partials − (1 − p_0) k) · loss_scale / (τ · rows in use).
__global__ void __launch_bounds__(kBlock) finish_kernel(MocoLossArgs args, Layout work) {
  __shared__ float scratch[kWarp + 1];
  const std::int64_t used = rows_in_use(args), keys = keys_in_queue(args);
  if (blockIdx.x == 0) return write_loss(args, work, used, scratch);
  const std::int64_t parts = (keys + work.span - 1) / work.span, n = args.rows * args.cols;
  const float scale = (args.loss_scale ? *args.loss_scale : 1.0f) / (args.tau * static_cast<float>(used > 0 ? used : 1));
  for (std::int64_t at = (static_cast<std::int64_t>(blockIdx.x) - 1) * kBlock + threadIdx.x; at < n;
       at += (static_cast<std::int64_t>(gridDim.x) - 1) * kBlock) {
    const std::int64_t i = at / args.cols, k = at - i * args.cols;
    float* out = args.d_queries + i * args.d_queries_ld + k;
    float gradient = 0.0f;
    if (i < used) {
      for (std::int64_t s = 0; s < parts; ++s) gradient += work.partials[s * n + at];
      gradient = (gradient - work.row_terms[2 * i + 1] * args.keys[i * args.keys_ld + k]) * scale;
    }
    if (args.d_queries_mode == GradMode::accumulate) {
      *out += gradient;
    } else {
      *out = gradient;
    }
  }
}

unsigned tiles(std::int64_t n) { return static_cast<unsigned>(ceil_div(n, kTile)); }

}  // namespace

void moco_loss(const MocoLossArgs& args, CudaStream exec) {
  const moco_plan::Cuda plan(args);
  const Layout work{plan.products, plan.columns, plan.row_terms, plan.partials, plan.products_ld, plan.splits, plan.span};
  const bool learns = args.d_queries_mode != GradMode::skip && args.rows > 0 && args.cols > 0;
  if (args.rows > 0 && args.capacity > 0) {
    const bool wide = quads(args.cols, args.queries, args.queries_ld) && quads(args.cols, args.queue, args.cols);
    launch(wide ? products_kernel<4> : products_kernel<1>, dim3(tiles(args.capacity), tiles(args.rows)), kBlock, 0, exec, args,
           work);
    launch(columns_kernel, grid_for(args.capacity, kWarp), kBlock, 0, exec, args, work);
  }
  if (args.rows > 0) launch(rows_kernel, grid_for(args.rows, 1), kBlock, 0, exec, args, work);
  if (learns && args.capacity > 0) {
    const dim3 grid(tiles(args.cols), tiles(args.rows), static_cast<unsigned>(plan.splits));
    launch(quads(args.cols, args.queue, args.cols) ? gradient_kernel<4> : gradient_kernel<1>, grid, kBlock, 0, exec, args,
           work);
  }
  launch(finish_kernel, 1 + (learns ? grid_for(args.rows * args.cols, kBlock) : 0), kBlock, 0, exec, args, work);
}

}  // namespace swath::kernels
