// How an optimiser's kernel walks its stretches: a row of blocks for each, 16-byte accesses where all stretches allow them.
#pragma once
#include <algorithm>
#include <array>

#include "kernels/stretch.h"
#include "kernels/vector.cuh"

namespace swath::kernels {

/// Whether a block has elements of its stretch to update.
template <int V>
__device__ __forceinline__ bool block_has_elements(const UpdateStretch& stretch) {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x * V < stretch.end - stretch.begin;
}

/// Gradients i … i + V − 1, times the factor.
template <int V, class T>
__device__ __forceinline__ Vector<V> load_grad(const T* grad, std::int64_t i, float factor) {
  Vector<V> loaded = load_vector<V>(grad + i);
#pragma unroll
  for (int k = 0; k < V; ++k) loaded.v[k] = __fmul_rn(loaded.v[k], factor);
  return loaded;
}

/// body.run<V>(i) for elements i … i + V − 1 of the arrays; the last ones of a stretch come one by one.
template <int V, class Body>
__device__ __forceinline__ void for_elements(const UpdateStretch& stretch, const Body& body) {
  const std::int64_t n = stretch.end - stretch.begin, whole = n / V;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (std::int64_t i = first; i < whole; i += stride) body.template run<V>(stretch.begin + i * V);
  if (V > 1 && first < n - whole * V) body.template run<1>(stretch.begin + whole * V + first);
}

/// One launch of kernels for 4 elements at a time or for one.
template <class Args>
void launch_stretches(void (*by_four)(Args), void (*by_one)(Args), const Args& p, bool aligned, CudaStream exec) {
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < p.count; ++i) {
    const UpdateStretch& stretch = p.stretches[static_cast<std::size_t>(i)];
    longest = std::max(longest, stretch.end - stretch.begin);
    aligned = aligned && stretch.begin % 4 == 0 && aligned16({stretch.grad});
  }
  if (longest == 0) return;
  const dim3 grid(grid_for(ceil_div(longest, aligned ? 4 : 1), 256), static_cast<unsigned>(p.count));
  launch(aligned ? by_four : by_one, grid, 256, 0, exec, p);
}

}  // namespace swath::kernels
