// Batch normalisation with ReLU and max pooling on CUDA (methods.md §2): a thread owns 8 channels of one output pixel, or,
// going back, of one input pixel, which gathers from the windows over it, so there are no atomics.
#include "kernels/batch_norm_pool.h"

#include "kernels/batch_norm.cuh"

namespace swath::kernels {
namespace batch_norm {
namespace {

/// Sizes of one image, as 32-bit numbers.
struct Sizes {
  int height, width, out_height, out_width, channels, window, stride, pad;
};
Sizes sizes_of(const PoolGeometry& g) {
  return {static_cast<int>(g.height),      static_cast<int>(g.width),    static_cast<int>(g.out_height()),
          static_cast<int>(g.out_width()), static_cast<int>(g.channels), static_cast<int>(g.window),
          static_cast<int>(g.stride),      static_cast<int>(g.pad)};
}

/// 8 bytes of the index.
template <bool kWide>
__device__ __forceinline__ void store_taps(std::uint8_t* to, int valid, const int (&taps)[kCell]) {
  if constexpr (kWide) {
    const auto four = [&](int k) {
      return static_cast<unsigned>(taps[k] | taps[k + 1] << 8 | taps[k + 2] << 16 | taps[k + 3] << 24);
    };
    *reinterpret_cast<uint2*>(to) = make_uint2(four(0), four(4));
  } else {
#pragma unroll
    for (int k = 0; k < kCell; ++k)
      if (k < valid) to[k] = static_cast<std::uint8_t>(taps[k]);
  }
}

template <bool kWide, class T>
__global__ void __launch_bounds__(kMapThreads) pool_kernel(BatchNormPoolArgs p, Sizes z) {
  const int cells = (z.channels + kCell - 1) / kCell;
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= z.out_height * z.out_width * cells) return;
  const Channels at{i % cells * kCell, min(kCell, z.channels - i % cells * kCell)};
  const int pixel = i / cells;
  const int top = pixel / z.out_width * z.stride - z.pad, left = pixel % z.out_width * z.stride - z.pad;
  const int row_end = min(z.window, z.height - top), column_end = min(z.window, z.width - left);
  const Cell mean = load_cell<kWide>(p.main.mean + at.begin, at.valid),
             beta = load_cell<kWide>(p.main.beta + at.begin, at.valid);
  const Cell spread = load_cell<kWide>(p.main.spread + at.begin, at.valid);
  Cell scale = load_cell<kWide>(p.main.gamma + at.begin, at.valid);
#pragma unroll
  for (int k = 0; k < kCell; ++k)
    scale.v[k] = p.spread == Spread::variance ? scale.v[k] / sqrtf(spread.v[k] + p.eps) : scale.v[k] * spread.v[k];
  for (std::int64_t image = blockIdx.y; image < p.geometry.n; image += gridDim.y) {
    const T* from = static_cast<const T*>(p.main.x) + image * z.height * z.width * z.channels + at.begin;
    Cell best;
    int winner[kCell];
    bool first = true;
    for (int r = max(0, -top); r < row_end; ++r) {
      for (int s = max(0, -left); s < column_end; ++s) {
        const Cell x =
            load_cell<kWide>(from + (static_cast<std::int64_t>(top + r) * z.width + left + s) * z.channels, at.valid);
#pragma unroll
        for (int k = 0; k < kCell; ++k) {
          const float v = normalise(x.v[k], mean.v[k], scale.v[k], beta.v[k]);
          const bool take = first || v > best.v[k] || (v != v && best.v[k] == best.v[k]);
          best.v[k] = take ? v : best.v[k];
          winner[k] = take ? r * z.window + s : winner[k];
        }
        first = false;
      }
    }
#pragma unroll
    for (int k = 0; k < kCell; ++k) best.v[k] = best.v[k] < 0 ? 0.0f : best.v[k];
    const std::int64_t out = (image * z.out_height * z.out_width + pixel) * z.channels + at.begin;
    store_cell<kWide>(static_cast<T*>(p.y) + out, best, at.valid);
    if (p.index) store_taps<kWide>(p.index + out, at.valid, winner);
  }
}

/// The gradient of a pixel: the sum over the windows whose maximum it was.
template <class T>
struct Windows {
  static constexpr int kBatch = 1;
  const T *first, *second;  // second may be null
  const std::uint8_t* index;
  Sizes z;

  /// Adds what 8 channels of one window give to the pixel at `tap`.
  __device__ void add_window(std::int64_t i, int tap, Cell& sum) const {
    const uint2 word = *reinterpret_cast<const uint2*>(index + i);
    std::uint8_t taps[kCell];
    memcpy(taps, &word, sizeof word);
    Cell g = load_cell<true>(first + i, kCell);
    if (second) {
      const Cell more = load_cell<true>(second + i, kCell);
#pragma unroll
      for (int k = 0; k < kCell; ++k) g.v[k] += more.v[k];
    }
#pragma unroll
    for (int k = 0; k < kCell; ++k) sum.v[k] += taps[k] == tap ? g.v[k] : 0.0f;
  }

  template <bool kWide>
  __device__ Cell read(std::int64_t pixel_of_all, std::int64_t, const Channels& at) const {
    const unsigned pixels = static_cast<unsigned>(z.height * z.width), all = static_cast<unsigned>(pixel_of_all);
    const unsigned image = all / pixels;
    const int pixel = static_cast<int>(all % pixels);
    const int row = pixel / z.width + z.pad, column = pixel % z.width + z.pad;
    const int row_begin = row < z.window ? 0 : (row - z.window) / z.stride + 1, row_end = min(row / z.stride + 1, z.out_height);
    const int column_begin = column < z.window ? 0 : (column - z.window) / z.stride + 1;
    const int column_end = min(column / z.stride + 1, z.out_width);
    Cell sum{};
#pragma unroll 1
    for (int r = row_begin; r < row_end; ++r) {
#pragma unroll 1
      for (int s = column_begin; s < column_end; ++s) {
        const std::int64_t i =
            ((static_cast<std::int64_t>(image) * z.out_height + r) * z.out_width + s) * z.channels + at.begin;
        const int tap = (row - r * z.stride) * z.window + column - s * z.stride;
        if constexpr (kWide) {
          add_window(i, tap, sum);
        } else {
#pragma unroll
          for (int k = 0; k < kCell; ++k) {
            const std::int64_t j = i + min(k, at.valid - 1);
            const float g = to_float(first[j]) + (second ? to_float(second[j]) : 0.0f);
            sum.v[k] += index[j] == tap ? g : 0.0f;
          }
        }
      }
    }
    return sum;
  }
};

void pool(const BatchNormPoolArgs& p, CudaStream exec) {
  const PoolGeometry& g = p.geometry;
  const std::int64_t cells = g.out_height() * g.out_width() * ceil_div(g.channels, kCell);
  if (g.n * cells == 0) return;
  const bool is_wide = wide(g.channels, {p.y, p.index}) && wide_term(p.main);
  // Several images for each thread, so that the per-channel values are read once for all of them.
  const std::int64_t blocks = ceil_div(cells, kMapThreads),
                     images = std::clamp<std::int64_t>(ceil_div(132 * 16, blocks), 1, g.n);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(std::min<std::int64_t>(images, 65535)));
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    launch(is_wide ? pool_kernel<true, T> : pool_kernel<false, T>, grid, kMapThreads, 0, exec, p, sizes_of(g));
  });
}

template <bool kWide, class T>
void pool_backward(const BatchNormPoolBackwardArgs& a, CudaStream exec) {
  const Backward p{a.geometry.rows(), a.geometry.channels, a.main, {}, a.d_main, {}, nullptr, static_cast<float*>(a.workspace),
                   a.counters};
  const Windows<T> source{typed<T>(a.d_y), typed<T>(a.d_y_second), a.index, sizes_of(a.geometry)};
  launch_sums<kWide, T, Mask::recomputed, false>(p, source, exec);
  launch_input<kWide, T, Mask::recomputed, false>(p, source, exec);
}

void pool_backward_any(const BatchNormPoolBackwardArgs& p, CudaStream exec) {
  const std::int64_t channels = p.geometry.channels;
  if (channels == 0) return;
  if (p.geometry.rows() == 0) return clear(p.d_main, channels, exec);
  const bool is_wide = wide(channels, {p.d_y, p.d_y_second, p.index, p.d_main.d_x, p.workspace}) && wide_term(p.main);
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    if (is_wide) return pool_backward<true, T>(p, exec);
    pool_backward<false, T>(p, exec);
  });
}

}  // namespace
}  // namespace batch_norm

void batch_norm_pool(const BatchNormPoolArgs& p, CudaStream exec) { batch_norm::pool(p, exec); }
void batch_norm_pool_backward(const BatchNormPoolBackwardArgs& p, CudaStream exec) { batch_norm::pool_backward_any(p, exec); }

}  // namespace swath::kernels
