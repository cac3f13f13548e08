// Global average pooling on CUDA (methods.md §2). A thread owns one vector of channels of an image, or, going back, of a pixel.
#include "kernels/dispatch.h"
#include "kernels/pool.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

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

/// Calls body(constant) with the vector length that channels and alignment allow.
template <class T, class Body>
void with_vector(std::int64_t channels, bool aligned, const Body& body) {
  if (aligned && channels % kVector<T> == 0) return body(std::integral_constant<int, kVector<T>>{});
  body(std::integral_constant<int, 1>{});
}

}  // namespace

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
