// What the batch norm kernels share: cells of 8 channels, values per channel that a block computes once, rows that are on their
// way before they are needed, sums over the rows of a block and their merging by the last block of a channel group. Sums run in
// a fixed order: on one device results are reproducible bit for bit.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

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
constexpr int kMapBlocks = 2;                 // of kMapThreads, per multiprocessor
constexpr int kMaxWidth = kMaxLanes * kCell;  // channels of a block

/// The channels of a thread: 8 from `begin` on, of which `valid` exist (all, where kWide: 16-byte accesses).
struct Channels {
  std::int64_t begin;
  int valid;
};
__device__ __forceinline__ Channels channels_of_thread(std::int64_t channels) {
  const std::int64_t begin = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kCell;
  const std::int64_t left = channels - begin;
  return {begin, static_cast<int>(left < 0 ? 0 : left < kCell ? left : kCell)};
}
__device__ __forceinline__ int thread_of_block() { return static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x); }

/// 8 elements as they lie in memory, in which form rows wait for their turn.
template <class T>
struct Raw {
  static constexpr int kWords = kCell * sizeof(T) / 16;
  uint4 words[kWords];
};

/// Elements beyond the valid ones repeat the last: nobody uses them.
template <bool kWide, class T>
__device__ __forceinline__ Raw<T> load_raw(const T* p, int valid) {
  Raw<T> raw;
  if constexpr (kWide) {
#pragma unroll
    for (int i = 0; i < Raw<T>::kWords; ++i) raw.words[i] = reinterpret_cast<const uint4*>(p)[i];
  } else {
    T elements[kCell];
#pragma unroll
    for (int k = 0; k < kCell; ++k) elements[k] = p[min(k, valid - 1)];
    memcpy(&raw, elements, sizeof raw);
  }
  return raw;
}

template <bool kWide, class T>
__device__ __forceinline__ void store_raw(T* p, const Raw<T>& raw, int valid) {
  if constexpr (kWide) {
#pragma unroll
    for (int i = 0; i < Raw<T>::kWords; ++i) reinterpret_cast<uint4*>(p)[i] = raw.words[i];
  } else {
    T elements[kCell];
    memcpy(elements, &raw, sizeof raw);
#pragma unroll
    for (int k = 0; k < kCell; ++k)
      if (k < valid) p[k] = elements[k];
  }
}

__device__ __forceinline__ Cell unpack(const Raw<float>& raw) {
  Cell cell;
  memcpy(&cell, &raw, sizeof raw);
  return cell;
}
__device__ __forceinline__ Cell unpack(const Raw<bf16>& raw) {
  const unsigned pairs[kCell / 2] = {raw.words[0].x, raw.words[0].y, raw.words[0].z, raw.words[0].w};
  Cell cell;
#pragma unroll
  for (int k = 0; k < kCell; ++k) cell.v[k] = __uint_as_float(k % 2 ? pairs[k / 2] & 0xffff0000u : pairs[k / 2] << 16);
  return cell;
}

__device__ __forceinline__ Cell unpack(const Raw<f16>& raw) {
  __half2 pairs[kCell / 2];
  memcpy(pairs, &raw, sizeof raw);
  Cell cell;
#pragma unroll
  for (int k = 0; k < kCell; ++k) cell.v[k] = k % 2 ? __high2float(pairs[k / 2]) : __low2float(pairs[k / 2]);
  return cell;
}

/// Rounds to the nearest, ties to even, as from_float does; but every NaN becomes the same one.
template <class T>
__device__ __forceinline__ Raw<T> pack(const Cell& cell) {
  Raw<T> raw;
  if constexpr (sizeof(T) == 4) {
    memcpy(&raw, &cell, sizeof raw);
  } else if constexpr (std::is_same_v<T, f16>) {
    __half2 pairs[kCell / 2];
#pragma unroll
    for (int k = 0; k < kCell / 2; ++k) pairs[k] = __floats2half2_rn(cell.v[2 * k], cell.v[2 * k + 1]);
    memcpy(&raw, pairs, sizeof raw);
  } else {
    __nv_bfloat162 pairs[kCell / 2];
#pragma unroll
    for (int k = 0; k < kCell / 2; ++k) pairs[k] = __floats2bfloat162_rn(cell.v[2 * k], cell.v[2 * k + 1]);
    memcpy(&raw, pairs, sizeof raw);
  }
  return raw;
}

/// kCount values for each channel of a block, in shared memory. The first four channels of all cells come before the others, so
/// that 16-byte accesses of neighbouring threads meet no bank twice.
template <int kCount>
struct alignas(16) Table {
  float v[kCount][kMaxWidth];

  __device__ __forceinline__ float& at(int which, int column) {
    return v[which][column % kCell / 4 * (kMaxWidth / 2) + column / kCell * 4 + column % 4];
  }
  /// The values of the thread's channels.
  __device__ __forceinline__ Cell cell(int which) const {
    const Vector<4> first = load_vector<4>(v[which] + threadIdx.x * 4);
    const Vector<4> second = load_vector<4>(v[which] + kMaxWidth / 2 + threadIdx.x * 4);
    return {first.v[0], first.v[1], first.v[2], first.v[3], second.v[0], second.v[1], second.v[2], second.v[3]};
  }
};

/// fill(channel, column) for every channel of a block, by one thread each; then all threads see what it wrote.
template <class Fill>
__device__ __forceinline__ void for_channels(std::int64_t channels, const Fill& fill) {
  const int width = static_cast<int>(blockDim.x) * kCell;
  const int column = thread_of_block();
  const std::int64_t channel = static_cast<std::int64_t>(blockIdx.x) * width + column;
  if (column < width && channel < channels) fill(channel, column);
  __syncthreads();
}

/// The rows begin, begin + step, … below end.
struct Rows {
  std::int64_t begin, end, step;
};
/// Those of a thread: blocks take whole sweeps in turn. None for a thread without channels.
__device__ __forceinline__ Rows rows_of_thread(std::int64_t rows, const Channels& at) {
  const std::int64_t lines = blockDim.y;
  return {blockIdx.y * lines + threadIdx.y, at.valid > 0 ? rows : 0, gridDim.y * lines};
}

/// How many rows a thread has under way, where a row takes kTensors loads of 8 elements: 6 words of 16 bytes in all. With the
/// 512 threads that a multiprocessor has at 128 registers these are 48 KiB, about twice what hides the latency of its memory.
template <int kTensors, class T>
constexpr int kRowsUnderWay = 6 / (kTensors * Raw<T>::kWords) < 1 ? 1 : 6 / (kTensors * Raw<T>::kWords);

/// Calls use(values, row, read(row)) for a thread's rows, where values = prepare(the first row as read). kBatch rows are on
/// their way before one is used, the first ones already while prepare, which may wait for the block, runs.
template <int kBatch, class Read, class Prepare, class Use>
__device__ __forceinline__ void stream_rows(const Rows& rows, const Read& read, const Prepare& prepare, const Use& use) {
  using Row = decltype(read(rows.begin));
  Row batch[kBatch];
  const auto start = [&](std::int64_t r) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b)
      if (r + b * rows.step < rows.end) batch[b] = read(r + b * rows.step);
  };
  std::int64_t r = rows.begin;
  start(r);
  const auto values = prepare(batch[0]);
  while (r < rows.end) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b)
      if (r + b * rows.step < rows.end) use(values, r + b * rows.step, batch[b]);
    r += kBatch * rows.step;
    start(r);
  }
}

__device__ __forceinline__ float normalise(float x, float mean, float scale, float beta) { return (x - mean) * scale + beta; }

/// Adds up a block's sums over its row threads and writes them to `to` (kSums rows of `channels`).
template <int kSums>
__device__ void store_sums(float (&sums)[kSums][kCell], std::int64_t channels, float* to) {
  constexpr int kWarps = kSumThreads / kWarp;
  constexpr int kRow = kWarps * kMaxWidth;
  __shared__ Table<kSums * kWarps> shared;
  const int lanes = static_cast<int>(blockDim.x), width = lanes * kCell, thread = thread_of_block();
  float* own = &shared.at(thread / kWarp, thread % kWarp % kMaxLanes * kCell);
#pragma unroll
  for (int s = 0; s < kSums; ++s)
#pragma unroll
    for (int k = 0; k < kCell; ++k) {
      for (int offset = kWarp / 2; offset >= lanes; offset /= 2) sums[s][k] += __shfl_xor_sync(0xffffffffu, sums[s][k], offset);
      if (thread % kWarp < lanes) own[s * kRow + k / 4 * (kMaxWidth / 2) + k % 4] = sums[s][k];
    }
  __syncthreads();
  for (int i = thread; i < kSums * width; i += kSumThreads) {
    const int which = i / width, column = i % width;
    const std::int64_t channel = static_cast<std::int64_t>(blockIdx.x) * width + column;
    if (channel >= channels) continue;
    const float* of_warps = &shared.at(which * kWarps, column);
    float total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += of_warps[w * kMaxWidth];
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

/// What a block left for one channel.
template <int kFloats>
struct Partial {
  float v[kFloats];
};

/// Calls add(prepare(channel), chunk, partial, totals) with the kFloats floats that each of the group's blocks left for a
/// channel, `partials` being rows of `channels`, and finish(channel, totals) once per channel of the block with the kSums sums.
template <int kFloats, int kSums, class Prepare, class Add, class Finish>
__device__ void merge_chunks(std::int64_t channels, const float* partials, const Prepare& prepare, const Add& add,
                             const Finish& finish) {
  constexpr int kAtOnce = 8;
  __shared__ double shared[kSums][kSumThreads];
  const int width = static_cast<int>(blockDim.x) * kCell, parts = kSumThreads / width, thread = thread_of_block();
  const int column = thread % width;
  const std::int64_t channel = static_cast<std::int64_t>(blockIdx.x) * width + column;
  double totals[kSums] = {};
  stream_rows<kAtOnce>(
      Rows{thread / width, channel < channels ? gridDim.y : 0, parts},
      [&](std::int64_t chunk) {
        Partial<kFloats> partial;
#pragma unroll
        for (int f = 0; f < kFloats; ++f) partial.v[f] = __ldcg(partials + (chunk * kFloats + f) * channels + channel);
        return partial;
      },
      [&](const Partial<kFloats>&) { return channel < channels ? prepare(channel) : 0.0; },
      [&](double with, std::int64_t chunk, const Partial<kFloats>& partial) { add(with, chunk, partial.v, totals); });
#pragma unroll
  for (int s = 0; s < kSums; ++s) shared[s][thread] = totals[s];
  __syncthreads();
  if (thread >= width || channel >= channels) return;
  for (int part = 1; part < parts; ++part)
#pragma unroll
    for (int s = 0; s < kSums; ++s) totals[s] += shared[s][part * width + column];
  finish(channel, totals);
}

inline int processors() {
  int device = 0, count = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  return count;
}
inline dim3 block_of(const CudaPlan& plan, int threads) {
  return {static_cast<unsigned>(plan.lanes), static_cast<unsigned>(threads / plan.lanes)};
}
/// Sums: a block for each multiprocessor, so that the last one has few partial sums to merge.
inline dim3 sum_grid(const CudaPlan& plan, std::int64_t rows) {
  const int resident = std::min(processors(), batch_norm_plan::kMostProcessors);
  return {static_cast<unsigned>(plan.groups),
          static_cast<unsigned>(batch_norm_plan::blocks_of_group(plan, rows, kSumThreads, resident))};
}
/// A pass without sums: all its blocks are resident.
inline dim3 map_grid(const CudaPlan& plan, std::int64_t rows) {
  return {static_cast<unsigned>(plan.groups), static_cast<unsigned>(batch_norm_plan::blocks_of_group(
                                                  plan, rows, kMapThreads, std::int64_t{kMapBlocks} * processors()))};
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

}  // namespace swath::kernels::batch_norm
