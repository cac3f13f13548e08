// What the batch norm kernels share: cells of 8 channels, sums over the rows of a chunk, their merging by the last block of a
// channel group, and the two passes of the backward direction over any source of the incoming gradient. Sums run in a fixed
// order: results are reproducible bit for bit.
#pragma once
#include "kernels/batch_norm.h"
#include "kernels/batch_norm_plan.h"
#include "kernels/dispatch.h"
#include "kernels/reduce.cuh"
#include "kernels/vector.cuh"

namespace swath::kernels::batch_norm {

using batch_norm_plan::CudaPlan;
using batch_norm_plan::kCell;
using batch_norm_plan::kMapThreads;
using batch_norm_plan::kMaxLanes;
using batch_norm_plan::kSumThreads;

using Cell = Vector<kCell>;
constexpr int kMaxWidth = kMaxLanes * kCell;  // channels of a block

/// The channels of a thread: 8 from `channel` on, of which `valid` exist (all, where kWide: 16-byte accesses).
struct Channels {
  std::int64_t begin;
  int valid;
};
__device__ __forceinline__ Channels channels_of_thread(std::int64_t channels) {
  const std::int64_t begin = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kCell;
  const std::int64_t left = channels - begin;
  return {begin, static_cast<int>(left < 0 ? 0 : left < kCell ? left : kCell)};
}

/// Elements beyond the valid ones repeat the last: nobody uses them.
template <bool kWide, class T>
__device__ __forceinline__ Cell load_cell(const T* p, int valid) {
  if constexpr (kWide) {
    return load_vector<kCell>(p);
  } else {
    Cell cell;
#pragma unroll
    for (int k = 0; k < kCell; ++k) cell.v[k] = to_float(p[min(k, valid - 1)]);
    return cell;
  }
}

template <bool kWide, class T>
__device__ __forceinline__ void store_cell(T* p, const Cell& cell, int valid) {
  if constexpr (kWide) {
    store_vector<kCell>(p, cell);
  } else {
#pragma unroll
    for (int k = 0; k < kCell; ++k)
      if (k < valid) p[k] = from_float<T>(cell.v[k]);
  }
}

/// Calls use(row, read(row)) for the rows begin, begin + step, … below end; kBatch rows are on their way before one is used.
template <int kBatch, class Read, class Use>
__device__ __forceinline__ void stream_rows(std::int64_t begin, std::int64_t end, std::int64_t step, const Read& read,
                                            const Use& use) {
  using Row = decltype(read(begin));
  std::int64_t r = begin;
  for (; r + (kBatch - 1) * step < end; r += kBatch * step) {
    Row rows[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) rows[b] = read(r + b * step);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) use(r + b * step, rows[b]);
  }
  for (; r < end; r += step) {
    Row row = read(r);
    use(r, row);
  }
}

__device__ __forceinline__ float normalise(float x, float mean, float scale, float beta) { return (x - mean) * scale + beta; }

/// Adds up a block's sums over its row threads and writes them to `to` (kSums rows of `channels`).
template <int kSums>
__device__ void store_sums(float (&sums)[kSums][kCell], std::int64_t channels, float* to) {
  constexpr int kWarps = kSumThreads / kWarp;
  __shared__ float shared[kSums][kWarps][kMaxWidth];
  const int lanes = static_cast<int>(blockDim.x), width = lanes * kCell;
  const int thread = static_cast<int>(threadIdx.y) * lanes + static_cast<int>(threadIdx.x);
#pragma unroll
  for (int s = 0; s < kSums; ++s)
#pragma unroll
    for (int k = 0; k < kCell; ++k) {
      for (int offset = kWarp / 2; offset >= lanes; offset /= 2) sums[s][k] += __shfl_xor_sync(0xffffffffu, sums[s][k], offset);
      if (thread % kWarp < lanes) shared[s][thread / kWarp][thread % kWarp * kCell + k] = sums[s][k];
    }
  __syncthreads();
  for (int i = thread; i < kSums * width; i += kSumThreads) {
    const int which = i / width, column = i % width;
    const std::int64_t channel = static_cast<std::int64_t>(blockIdx.x) * width + column;
    if (channel >= channels) continue;
    float total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += shared[which][w][column];
    to[which * channels + channel] = total;
  }
}

/// Whether this is the last block of its channel group to come here; then it sees what the others have written.
__device__ __forceinline__ bool last_of_group(std::uint32_t* counters) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  // Wraps to zero with the last block.
  if (threadIdx.x == 0 && threadIdx.y == 0) last = atomicInc(counters + blockIdx.x, gridDim.y - 1) == gridDim.y - 1;
  __syncthreads();
  if (last) __threadfence();
  return last;
}

/// Calls add(chunk, channel, totals) for every chunk, and finish(channel, totals) once per channel of the block with the sums.
template <int kSums, class Add, class Finish>
__device__ void merge_chunks(std::int64_t chunks, std::int64_t channels, const Add& add, const Finish& finish) {
  __shared__ double shared[kSums][kSumThreads];
  const int width = static_cast<int>(blockDim.x) * kCell, parts = kSumThreads / width;
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x), column = thread % width;
  const std::int64_t channel = static_cast<std::int64_t>(blockIdx.x) * width + column;
  double totals[kSums] = {};
  if (channel < channels) {
#pragma unroll 4
    for (std::int64_t chunk = thread / width; chunk < chunks; chunk += parts) add(chunk, channel, totals);
  }
#pragma unroll
  for (int s = 0; s < kSums; ++s) shared[s][thread] = totals[s];
  __syncthreads();
  if (thread >= width || channel >= channels) return;
  for (int part = 1; part < parts; ++part)
#pragma unroll
    for (int s = 0; s < kSums; ++s) totals[s] += shared[s][part * width + column];
  finish(channel, totals);
}

enum class Mask : std::uint8_t { none, bits, recomputed };

/// d_x = slope · ((g − constant) − (x − mean) · linear), per channel.
struct Coefficients {
  float *slope, *linear, *constant;
};
__host__ __device__ inline Coefficients coefficients_in(float* workspace, std::int64_t channels, int term) {
  float* at = workspace + 3 * term * channels;
  return {at, at + channels, at + 2 * channels};
}

/// A row's cells: the incoming gradient and what it meets.
struct BackwardRow {
  Cell g, x, other;
};

/// What both backward passes read beside the incoming gradient.
struct Backward {
  std::int64_t rows, channels;
  NormTerm main, shortcut;
  NormGradient d_main, d_shortcut;
  void* store;       // rows × channels, or null: where the first pass leaves the masked gradient
  float* workspace;  // coefficients of both terms, then partial sums
  std::uint32_t* counters;
};

__device__ inline void finish_term(const Backward& p, const NormTerm& term, const NormGradient& gradient, int which,
                                   std::int64_t c, double sum, double product) {
  const Coefficients out = coefficients_in(p.workspace, p.channels, which);
  const double invstd = term.spread[c], n = p.rows > 0 ? static_cast<double>(p.rows) : 1.0;
  out.slope[c] = term.gamma[c] * term.spread[c];
  out.linear[c] = static_cast<float>(product * invstd * invstd / n);
  out.constant[c] = static_cast<float>(sum / n);
  if (gradient.mode == GradMode::skip) return;
  const bool add = gradient.mode == GradMode::accumulate;
  gradient.d_gamma[c] = (add ? gradient.d_gamma[c] : 0.0f) + static_cast<float>(product * invstd);
  gradient.d_beta[c] = (add ? gradient.d_beta[c] : 0.0f) + static_cast<float>(sum);
}

/// The per-channel values with which ReLU's mask is recomputed.
template <bool kWide, Mask kMask>
struct Recomputed {
  Cell scale{}, beta{};

  __device__ Recomputed(const NormTerm& term, const Channels& at) {
    if constexpr (kMask == Mask::recomputed) {
      scale = load_cell<kWide>(term.gamma + at.begin, at.valid);
      beta = load_cell<kWide>(term.beta + at.begin, at.valid);
      const Cell spread = load_cell<kWide>(term.spread + at.begin, at.valid);
#pragma unroll
      for (int k = 0; k < kCell; ++k) scale.v[k] *= spread.v[k];
    }
  }
  __device__ void apply(Cell& g, const Cell& x, const Cell& mean) const {
    if constexpr (kMask == Mask::recomputed) {
#pragma unroll
      for (int k = 0; k < kCell; ++k) g.v[k] = normalise(x.v[k], mean.v[k], scale.v[k], beta.v[k]) > 0 ? g.v[k] : 0.0f;
    }
  }
};

/// Source::read<kWide>(row, element, channels of the thread) is the incoming gradient of a cell, masked where it has bits;
/// Source::kBatch says how many rows a thread has registers for at a time.
template <bool kWide, class T, bool kShortcut, class Source>
__device__ __forceinline__ BackwardRow read_row(const Backward& p, const Source& source, std::int64_t r, const Channels& at) {
  const std::int64_t i = r * p.channels + at.begin;
  BackwardRow row;
  row.x = load_cell<kWide>(static_cast<const T*>(p.main.x) + i, at.valid);
  if constexpr (kShortcut) row.other = load_cell<kWide>(static_cast<const T*>(p.shortcut.x) + i, at.valid);
  row.g = source.template read<kWide>(r, i, at);
  return row;
}

/// First pass: Σ g, Σ g (x − μ) of both terms per chunk, and by the last block the coefficients and parameters' gradients.
template <bool kWide, class T, Mask kMask, bool kShortcut, class Source>
__global__ void __launch_bounds__(kSumThreads)
    backward_sums_kernel(Backward p, Source source, std::int64_t chunk_rows, std::int64_t chunks) {
  constexpr int kSums = kShortcut ? 3 : 2;
  const Channels at = channels_of_thread(p.channels);
  const std::int64_t begin = blockIdx.y * chunk_rows, end = begin + chunk_rows < p.rows ? begin + chunk_rows : p.rows;
  float sums[kSums][kCell] = {};
  if (at.valid > 0) {
    const Cell mean = load_cell<kWide>(p.main.mean + at.begin, at.valid);
    Cell shortcut_mean{};
    if constexpr (kShortcut) shortcut_mean = load_cell<kWide>(p.shortcut.mean + at.begin, at.valid);
    const Recomputed<kWide, kMask> mask(p.main, at);
    stream_rows<kWide ? Source::kBatch : 1>(
        begin + threadIdx.y, end, blockDim.y, [&](std::int64_t r) { return read_row<kWide, T, kShortcut>(p, source, r, at); },
        [&](std::int64_t r, BackwardRow& row) {
          mask.apply(row.g, row.x, mean);
          if (p.store) store_cell<kWide>(static_cast<T*>(p.store) + r * p.channels + at.begin, row.g, at.valid);
#pragma unroll
          for (int k = 0; k < kCell; ++k) {
            sums[0][k] += row.g.v[k];
            sums[1][k] += row.g.v[k] * (row.x.v[k] - mean.v[k]);
            if constexpr (kShortcut) sums[2][k] += row.g.v[k] * (row.other.v[k] - shortcut_mean.v[k]);
          }
        });
  }
  float* partial = p.workspace + batch_norm_plan::kCoefficients * p.channels;
  store_sums<kSums>(sums, p.channels, partial + blockIdx.y * kSums * p.channels);
  if (!last_of_group(p.counters)) return;
  merge_chunks<kSums>(
      chunks, p.channels,
      [&](std::int64_t chunk, std::int64_t c, double* totals) {
#pragma unroll
        for (int s = 0; s < kSums; ++s) totals[s] += __ldcg(partial + (chunk * kSums + s) * p.channels + c);
      },
      [&](std::int64_t c, const double* totals) {
        finish_term(p, p.main, p.d_main, 0, c, totals[0], totals[1]);
        if constexpr (kShortcut) finish_term(p, p.shortcut, p.d_shortcut, 1, c, totals[0], totals[2]);
      });
}

/// d_x of one cell, from its gradient.
template <bool kWide, class T>
struct InputGradient {
  Cell mean, slope, linear, constant;

  __device__ InputGradient(const NormTerm& term, const Coefficients& from, const Channels& at)
      : mean(load_cell<kWide>(term.mean + at.begin, at.valid)),
        slope(load_cell<kWide>(from.slope + at.begin, at.valid)),
        linear(load_cell<kWide>(from.linear + at.begin, at.valid)),
        constant(load_cell<kWide>(from.constant + at.begin, at.valid)) {}
  __device__ void store(void* d_x, std::int64_t i, int valid, const Cell& g, const Cell& x) const {
    Cell out;
#pragma unroll
    for (int k = 0; k < kCell; ++k) out.v[k] = slope.v[k] * ((g.v[k] - constant.v[k]) - (x.v[k] - mean.v[k]) * linear.v[k]);
    store_cell<kWide>(static_cast<T*>(d_x) + i, out, valid);
  }
};

/// Second pass: d_x of both terms.
template <bool kWide, class T, Mask kMask, bool kShortcut, class Source>
__global__ void __launch_bounds__(kMapThreads) backward_input_kernel(Backward p, Source source) {
  const Channels at = channels_of_thread(p.channels);
  if (at.valid == 0) return;
  const Recomputed<kWide, kMask> mask(p.main, at);
  const InputGradient<kWide, T> main(p.main, coefficients_in(p.workspace, p.channels, 0), at);
  const InputGradient<kWide, T> shortcut(kShortcut ? p.shortcut : p.main, coefficients_in(p.workspace, p.channels, kShortcut),
                                         at);
  stream_rows<kShortcut || !kWide ? 1 : Source::kBatch>(
      static_cast<std::int64_t>(blockIdx.y) * blockDim.y + threadIdx.y, p.rows,
      static_cast<std::int64_t>(gridDim.y) * blockDim.y,
      [&](std::int64_t r) { return read_row<kWide, T, kShortcut>(p, source, r, at); },
      [&](std::int64_t r, BackwardRow& row) {
        const std::int64_t i = r * p.channels + at.begin;
        mask.apply(row.g, row.x, main.mean);
        main.store(p.d_main.d_x, i, at.valid, row.g, row.x);
        if constexpr (kShortcut) shortcut.store(p.d_shortcut.d_x, i, at.valid, row.g, row.other);
      });
}

inline dim3 block_of(const CudaPlan& plan, int threads) {
  return {static_cast<unsigned>(plan.lanes), static_cast<unsigned>(threads / plan.lanes)};
}
inline dim3 chunk_grid(const CudaPlan& plan) {
  return {static_cast<unsigned>(plan.groups), static_cast<unsigned>(plan.chunks)};
}
/// A pass without sums: up to 8 rows for each thread, fewer where the device would not be full.
inline dim3 row_grid(const CudaPlan& plan, std::int64_t rows) {
  const std::int64_t passes = ceil_div(rows, kMapThreads / plan.lanes), full = ceil_div(132 * 4, plan.groups);
  const std::int64_t blocks = std::clamp<std::int64_t>(ceil_div(passes, 8), std::min(passes, full), 65535);
  return {static_cast<unsigned>(plan.groups), static_cast<unsigned>(std::max<std::int64_t>(1, blocks))};
}

template <bool kWide, class T, Mask kMask, bool kShortcut, class Source>
void launch_sums(const Backward& p, const Source& source, CudaStream exec) {
  const CudaPlan plan = batch_norm_plan::cuda_plan(p.rows, p.channels);
  launch(backward_sums_kernel<kWide, T, kMask, kShortcut, Source>, chunk_grid(plan), block_of(plan, kSumThreads), 0, exec, p,
         source, plan.chunk_rows, plan.chunks);
}
template <bool kWide, class T, Mask kMask, bool kShortcut, class Source>
void launch_input(const Backward& p, const Source& source, CudaStream exec) {
  if (!p.d_main.d_x) return;
  const CudaPlan plan = batch_norm_plan::cuda_plan(p.rows, p.channels);
  launch(backward_input_kernel<kWide, T, kMask, kShortcut, Source>, row_grid(plan, p.rows), block_of(plan, kMapThreads), 0,
         exec, p, source);
}

static __global__ void clear_kernel(std::int64_t n, float* a, float* b) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) a[i] = b[i] = 0;
}
inline void clear(std::int64_t channels, float* a, float* b, CudaStream exec) {
  launch(clear_kernel, static_cast<unsigned>(ceil_div(channels, 256)), 256, 0, exec, channels, a, b);
}
/// The parameters' gradients of no rows.
inline void clear(const NormGradient& g, std::int64_t channels, CudaStream exec) {
  if (g.mode == GradMode::overwrite && g.d_gamma) clear(channels, g.d_gamma, g.d_beta, exec);
}

/// Whether a thread may read its 8 channels in whole 16-byte words.
inline bool wide(std::int64_t channels, std::initializer_list<const void*> pointers) {
  return channels % kCell == 0 && aligned16(pointers);
}
inline bool wide_term(const NormTerm& t) { return aligned16({t.x, t.gamma, t.beta, t.mean, t.spread}); }

}  // namespace swath::kernels::batch_norm
