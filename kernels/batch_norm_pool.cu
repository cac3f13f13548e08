// Batch normalisation with ReLU and max pooling on CUDA (methods.md §2): a thread owns 8 channels of an output pixel, or,
// going back, of an input pixel, which gathers from the windows over it, so there are no atomics.
#include "kernels/batch_norm_pool.h"

#include "kernels/batch_norm_apply.cuh"
#include "kernels/batch_norm_backward.cuh"

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

/// The place of an output or input pixel.
struct Pixel {
  unsigned image;
  int row, column;
};
__device__ __forceinline__ Pixel pixel_at(std::int64_t of_all, int height, int width) {
  const unsigned all = static_cast<unsigned>(of_all), pixels = static_cast<unsigned>(height * width);
  const unsigned image = all / pixels, within = all - image * pixels, row = within / static_cast<unsigned>(width);
  return {image, static_cast<int>(row), static_cast<int>(within - row * static_cast<unsigned>(width))};
}

/// The maximum so far in each channel of a window, and with kRaw what it was before normalisation.
template <bool kRaw>
struct Best {
  Cell value, raw;
  int tap[kCell];

  __device__ explicit Best(int first_tap) {
#pragma unroll
    for (int k = 0; k < kCell; ++k) value.v[k] = raw.v[k] = -INFINITY, tap[k] = first_tap;
  }
  __device__ __forceinline__ void meet(const Cell& x, int at, const ApplyValues& of) {
#pragma unroll
    for (int k = 0; k < kCell; ++k) {
      const float v = normalise(x.v[k], of.mean.v[k], of.scale.v[k], of.beta.v[k]);
      const bool take = v > value.v[k] || (v != v && value.v[k] == value.v[k]);
      value.v[k] = take ? v : value.v[k];
      if constexpr (kRaw) raw.v[k] = take ? x.v[k] : raw.v[k];
      tap[k] = take ? at : tap[k];
    }
  }
};

/// A thread owns one output pixel at a time; three pixels of a window's row are on their way at once.
template <bool kWide, class T, bool kRaw>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks) pool_kernel(BatchNormPoolArgs p, Sizes z) {
  constexpr int kAtOnce = 3;
  const Channels at = channels_of_thread(z.channels);
  const ApplyValues of = apply_values<false>({.channels = z.channels, .main = p.main, .spread = p.spread, .eps = p.eps});
  const Rows pixels = rows_of_thread(p.geometry.n * z.out_height * z.out_width, at);
  for (std::int64_t i = pixels.begin; i < pixels.end; i += pixels.step) {
    const Pixel out = pixel_at(i, z.out_height, z.out_width);
    const int top = out.row * z.stride - z.pad, left = out.column * z.stride - z.pad;
    const int row_begin = max(0, -top), row_end = min(z.window, z.height - top);
    const int column_begin = max(0, -left), column_end = min(z.window, z.width - left);
    const T* from = static_cast<const T*>(p.main.x) + at.begin +
                    ((static_cast<std::int64_t>(out.image) * z.height + top) * z.width + left) * z.channels;
    Best<kRaw> best(row_begin * z.window + column_begin);
    for (int r = row_begin; r < row_end; ++r) {
      for (int s = column_begin; s < column_end; s += kAtOnce) {
        Raw<T> x[kAtOnce];
#pragma unroll
        for (int b = 0; b < kAtOnce; ++b)
          if (s + b < column_end)
            x[b] = load_raw<kWide>(from + (static_cast<std::int64_t>(r) * z.width + s + b) * z.channels, at.valid);
#pragma unroll
        for (int b = 0; b < kAtOnce; ++b)
          if (s + b < column_end) best.meet(unpack(x[b]), r * z.window + s + b, of);
      }
    }
    const std::int64_t to = i * z.channels + at.begin;
    if constexpr (kRaw) {
      store_raw<kWide>(static_cast<T*>(p.winner) + to, pack<T>(best.raw), at.valid);
    } else {
#pragma unroll
      for (int k = 0; k < kCell; ++k) best.value.v[k] = best.value.v[k] < 0 ? 0.0f : best.value.v[k];
      store_raw<kWide>(static_cast<T*>(p.y) + to, pack<T>(best.value), at.valid);
    }
    if (p.index) store_taps<kWide>(p.index + to, at.valid, best.tap);
  }
}

/// The gradient of a pixel: the sum over the windows whose maximum it was.
template <class T>
struct Windows {
  static constexpr int kTensors = 5;  // with x one row at a time: read itself has more under way, and waits for them
  using Row = Cell;
  const T *first, *second;  // second may be null
  const std::uint8_t* index;
  Sizes z;

  /// What 8 channels of one window hold.
  struct Window {
    Raw<T> first, second;
    uint2 taps;
  };
  __device__ __forceinline__ Window load(std::int64_t i) const {
    Window window;
    window.first = load_raw<true>(first + i, kCell);
    if (second) window.second = load_raw<true>(second + i, kCell);
    window.taps = *reinterpret_cast<const uint2*>(index + i);
    return window;
  }
  __device__ __forceinline__ void add(const Window& window, int tap, Cell& sum) const {
    Cell g = unpack(window.first);
    if (second) {
      const Cell more = unpack(window.second);
#pragma unroll
      for (int k = 0; k < kCell; ++k) g.v[k] += more.v[k];
    }
#pragma unroll
    for (int k = 0; k < kCell; ++k) {
      const unsigned four = k < 4 ? window.taps.x : window.taps.y;
      sum.v[k] += static_cast<int>(four >> k % 4 * 8 & 255u) == tap ? g.v[k] : 0.0f;
    }
  }
  __device__ __forceinline__ void add_narrow(std::int64_t i, int valid, int tap, Cell& sum) const {
#pragma unroll
    for (int k = 0; k < kCell; ++k) {
      const std::int64_t j = i + min(k, valid - 1);
      const float g = to_float(first[j]) + (second ? to_float(second[j]) : 0.0f);
      sum.v[k] += index[j] == tap ? g : 0.0f;
    }
  }

  /// Two windows of a row at a time, where registers allow: no more meet in a pixel if the stride is half the window.
  template <bool kWide>
  __device__ __forceinline__ Cell read(std::int64_t i, std::int64_t, const Channels& at) const {
    constexpr int kAtOnce = kWide && sizeof(T) == 2 ? 2 : 1;
    const Pixel in = pixel_at(i, z.height, z.width);
    const int row = in.row + z.pad, column = in.column + z.pad;
    const int row_begin = row < z.window ? 0 : (row - z.window) / z.stride + 1, row_end = min(row / z.stride + 1, z.out_height);
    const int column_begin = column < z.window ? 0 : (column - z.window) / z.stride + 1;
    const int column_end = min(column / z.stride + 1, z.out_width);
    Cell sum{};
#pragma unroll 1
    for (int r = row_begin; r < row_end; ++r) {
      const std::int64_t line = (static_cast<std::int64_t>(in.image) * z.out_height + r) * z.out_width;
#pragma unroll 1
      for (int s = column_begin; s < column_end; s += kAtOnce) {
        const std::int64_t from = (line + s) * z.channels + at.begin;
        const int tap = (row - r * z.stride) * z.window + column - s * z.stride;
        if constexpr (!kWide) {
          add_narrow(from, at.valid, tap, sum);
        } else {
          const bool pair = kAtOnce == 2 && s + 1 < column_end;
          const Window left = load(from);
          Window right;
          if (pair) right = load(from + z.channels);
          add(left, tap, sum);
          if (pair) add(right, tap - z.stride, sum);
        }
      }
    }
    return sum;
  }
  __device__ __forceinline__ Cell gradient(const Cell& sum) const { return sum; }
};

void pool(const BatchNormPoolArgs& p, CudaStream exec) {
  const PoolGeometry& g = p.geometry;
  const std::int64_t pixels = g.n * g.out_height() * g.out_width();
  if (pixels * g.channels == 0) return;
  const bool is_wide = wide(g.channels, {p.main.x, p.y, p.winner, p.index});
  const CudaPlan plan = batch_norm_plan::cuda_plan(g.channels);
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const auto run = [&](auto* kernel) {
      launch(kernel, map_grid(plan, pixels), block_of(plan, kMapThreads), 0, exec, p, sizes_of(g));
    };
    if (p.winner) return run(is_wide ? pool_kernel<true, T, true> : pool_kernel<false, T, true>);
    run(is_wide ? pool_kernel<true, T, false> : pool_kernel<false, T, false>);
  });
}

constexpr int kCoefficientThreads = 128;

/// What the first pass leaves, from its sums.
__global__ void __launch_bounds__(kCoefficientThreads) coefficients_kernel(Backward p, const float* sums) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kCoefficientThreads + threadIdx.x;
  if (c >= p.channels) return;
  const double product = static_cast<double>(sums[c]) / static_cast<double>(p.main.spread[c]);
  finish_term(p, p.main, p.d_main, 0, c, static_cast<double>(sums[p.channels + c]), product);
}

template <bool kWide, class T>
void pool_backward(const BatchNormPoolBackwardArgs& a, CudaStream exec) {
  const Backward p{a.geometry.rows(), a.geometry.channels, a.main, {}, a.d_main, {}, nullptr, static_cast<float*>(a.workspace),
                   a.counters};
  const Windows<T> source{typed<T>(a.d_y), typed<T>(a.d_y_second), a.index, sizes_of(a.geometry)};
  if (a.sums)
    launch(coefficients_kernel, static_cast<unsigned>(ceil_div(p.channels, kCoefficientThreads)), kCoefficientThreads, 0, exec,
           p, a.sums);
  else
    launch_sums<kWide, T, Mask::recomputed, false>(p, source, exec);
  launch_input<kWide, T, Mask::recomputed, false>(p, source, exec);
}

void pool_backward_any(const BatchNormPoolBackwardArgs& p, CudaStream exec) {
  const std::int64_t channels = p.geometry.channels;
  if (channels == 0) return;
  if (p.geometry.rows() == 0) return clear(p.d_main, channels, exec);
  const bool is_wide = wide(channels, {p.main.x, p.d_y, p.d_y_second, p.index, p.d_main.d_x});
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
