// Max pooling and global average pooling on CUDA (methods.md §2). A thread owns one vector of channels of one output pixel;
// backward gathers, so there are no atomics. blockIdx.y runs over the images.
#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/pool.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

/// The sizes of one pooling, as 32-bit numbers: an image has fewer than 2^31 elements.
struct Sizes {
  int height, width, out_height, out_width, channels, window, stride, pad;
};

template <class Args>
Sizes sizes_of(const Args& p) {
  return {static_cast<int>(p.height),      static_cast<int>(p.width),    static_cast<int>(p.out_height()),
          static_cast<int>(p.out_width()), static_cast<int>(p.channels), static_cast<int>(p.window),
          static_cast<int>(p.stride),      static_cast<int>(p.pad)};
}

template <int V>
__device__ __forceinline__ void store_index(std::uint8_t* to, const int* winner) {
#pragma unroll
  for (int k = 0; k < V; k += 4) {
    if constexpr (V >= 4) {
      *reinterpret_cast<uchar4*>(to + k) =
          make_uchar4(static_cast<unsigned char>(winner[k]), static_cast<unsigned char>(winner[k + 1]),
                      static_cast<unsigned char>(winner[k + 2]), static_cast<unsigned char>(winner[k + 3]));
    } else {
      to[k] = static_cast<std::uint8_t>(winner[k]);
    }
  }
}

template <int V, class T>
__global__ void __launch_bounds__(256) max_pool_kernel(std::int64_t n, Sizes z, const T* x, T* y, std::uint8_t* index) {
  const int vectors = z.channels / V;
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= z.out_height * z.out_width * vectors) return;
  const int channel = i % vectors * V, pixel = i / vectors;
  const int top = pixel / z.out_width * z.stride - z.pad, left = pixel % z.out_width * z.stride - z.pad;
  const int row_end = min(z.window, z.height - top), column_end = min(z.window, z.width - left);
  for (std::int64_t image = blockIdx.y; image < n; image += gridDim.y) {
    const T* from = x + image * z.height * z.width * z.channels;
    float best[V];
    int winner[V];
    bool first = true;
    for (int r = max(0, -top); r < row_end; ++r) {
      for (int s = max(0, -left); s < column_end; ++s) {
        const Vector<V> v =
            load_vector<V>(from + (static_cast<std::int64_t>(top + r) * z.width + left + s) * z.channels + channel);
#pragma unroll
        for (int k = 0; k < V; ++k) {
          const bool take = first || v.v[k] > best[k] || (v.v[k] != v.v[k] && best[k] == best[k]);
          best[k] = take ? v.v[k] : best[k];
          winner[k] = take ? r * z.window + s : winner[k];
        }
        first = false;
      }
    }
    const std::int64_t at = (image * z.out_height * z.out_width + pixel) * z.channels + channel;
    Vector<V> out;
#pragma unroll
    for (int k = 0; k < V; ++k) out.v[k] = best[k];
    store_vector<V>(y + at, out);
    if (index) store_index<V>(index + at, winner);
  }
}

template <int V, class T>
__global__ void __launch_bounds__(256)
    max_pool_backward_kernel(std::int64_t n, Sizes z, const T* d_y, const std::uint8_t* index, T* d_x) {
  const int vectors = z.channels / V;
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= z.height * z.width * vectors) return;
  const int channel = i % vectors * V, pixel = i / vectors;
  const int row = pixel / z.width + z.pad, column = pixel % z.width + z.pad;
  const int row_begin = row < z.window ? 0 : (row - z.window) / z.stride + 1, row_end = min(row / z.stride + 1, z.out_height);
  const int column_begin = column < z.window ? 0 : (column - z.window) / z.stride + 1;
  const int column_end = min(column / z.stride + 1, z.out_width);
  for (std::int64_t image = blockIdx.y; image < n; image += gridDim.y) {
    Vector<V> sum{};
    for (int r = row_begin; r < row_end; ++r) {
      for (int s = column_begin; s < column_end; ++s) {
        const std::int64_t at = ((image * z.out_height + r) * z.out_width + s) * z.channels + channel;
        const Vector<V> g = load_vector<V>(d_y + at);
        const int tap = (row - r * z.stride) * z.window + column - s * z.stride;
#pragma unroll
        for (int k = 0; k < V; ++k) sum.v[k] += index[at + k] == tap ? g.v[k] : 0.0f;
      }
    }
    store_vector<V>(d_x + (image * z.height * z.width + pixel) * z.channels + channel, sum);
  }
}

template <int V, class T>
__global__ void __launch_bounds__(256)
    average_pool_kernel(std::int64_t n, std::int64_t positions, std::int64_t channels, const T* x, float* y) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, vectors = channels / V;
  if (i >= n * vectors) return;
  const std::int64_t image = i / vectors, channel = i % vectors * V;
  const T* from = x + image * positions * channels + channel;
  float sum[V] = {};
  for (std::int64_t k = 0; k < positions; ++k) {
    const Vector<V> v = load_vector<V>(from + k * channels);
#pragma unroll
    for (int j = 0; j < V; ++j) sum[j] += v.v[j];
  }
  Vector<V> mean;
#pragma unroll
  for (int j = 0; j < V; ++j) mean.v[j] = sum[j] / static_cast<float>(positions);
  store_vector<V>(y + image * channels + channel, mean);
}

/// A thread writes its channels at so many positions of an image.
constexpr std::int64_t kPositions = 7;

template <int V, class T>
__global__ void __launch_bounds__(256)
    average_pool_backward_kernel(std::int64_t total, std::int64_t positions, std::int64_t channels, const float* d_y, T* d_x) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x, vectors = channels / V;
  const std::int64_t parts = ceil_div(positions, kPositions);
  const float share = 1.0f / static_cast<float>(positions);
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += stride) {
    const std::int64_t channel = i % vectors * V, part = i / vectors % parts, image = i / vectors / parts;
    Vector<V> v = load_vector<V>(d_y + image * channels + channel);
#pragma unroll
    for (int k = 0; k < V; ++k) v.v[k] *= share;
    const std::int64_t first = part * kPositions, end = first + kPositions < positions ? first + kPositions : positions;
    for (std::int64_t at = first; at < end; ++at) store_vector<V>(d_x + (image * positions + at) * channels + channel, v);
  }
}

/// Images share the y dimension of the grid.
dim3 image_grid(std::int64_t per_image, std::int64_t n) {
  return {static_cast<unsigned>(ceil_div(per_image, 256)), static_cast<unsigned>(std::min<std::int64_t>(n, 65535))};
}

/// Calls body(constant) with the vector length that channels and alignment allow.
template <class T, class Body>
void with_vector(std::int64_t channels, bool aligned, const Body& body) {
  if (aligned && channels % kVector<T> == 0) return body(std::integral_constant<int, kVector<T>>{});
  body(std::integral_constant<int, 1>{});
}

}  // namespace

void max_pool(const MaxPoolArgs& p, CudaStream exec) {
  const std::int64_t pixels = p.out_height() * p.out_width();
  if (p.n * p.channels * pixels == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    with_vector<T>(p.channels, aligned16({p.x, p.y, p.index}), [&](auto v) {
      launch(max_pool_kernel<v.value, T>, image_grid(pixels * (p.channels / v.value), p.n), 256, 0, exec, p.n, sizes_of(p),
             typed<T>(p.x), typed<T>(p.y), p.index);
    });
  });
}

void max_pool_backward(const MaxPoolBackwardArgs& p, CudaStream exec) {
  const std::int64_t pixels = p.height * p.width;
  if (p.n * p.channels * pixels == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    with_vector<T>(p.channels, aligned16({p.d_y, p.d_x, p.index}), [&](auto v) {
      launch(max_pool_backward_kernel<v.value, T>, image_grid(pixels * (p.channels / v.value), p.n), 256, 0, exec, p.n,
             sizes_of(p), typed<T>(p.d_y), p.index, typed<T>(p.d_x));
    });
  });
}

void average_pool(const AveragePoolArgs& p, CudaStream exec) {
  if (p.n * p.channels == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    with_vector<T>(p.channels, aligned16({p.x, p.y}), [&](auto v) {
      launch(average_pool_kernel<v.value, T>, static_cast<unsigned>(ceil_div(p.n * (p.channels / v.value), 256)), 256, 0, exec,
             p.n, p.positions, p.channels, typed<T>(p.x), p.y);
    });
  });
}

void average_pool_backward(const AveragePoolBackwardArgs& p, CudaStream exec) {
  if (p.n * p.positions * p.channels == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    with_vector<T>(p.channels, aligned16({p.d_y, p.d_x}), [&](auto v) {
      const std::int64_t total = p.n * ceil_div(p.positions, kPositions) * (p.channels / v.value);
      launch(average_pool_backward_kernel<v.value, T>, grid_for(total, 256), 256, 0, exec, total, p.positions, p.channels,
             p.d_y, typed<T>(p.d_x));
    });
  });
}

}  // namespace swath::kernels
