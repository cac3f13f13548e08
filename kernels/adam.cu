// Adam and AdamW on CUDA (methods.md §3): one launch, a row of blocks for every stretch, 16-byte
// accesses; each block computes the scalars once.
#include "kernels/adam.h"

#include <algorithm>

#include "kernels/adam_factors.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

template <int V>
__device__ __forceinline__ void update(const AdamArgs& p, const AdamFactors& f, std::int64_t i) {
  const Vector<V> grad = load_vector<V>(p.grad + i);
  Vector<V> value = load_vector<V>(p.value + i), m = load_vector<V>(p.m + i), v = load_vector<V>(p.v + i);
#pragma unroll
  for (int k = 0; k < V; ++k) adam_element(f, grad.v[k], value.v[k], m.v[k], v.v[k]);
  store_vector<V>(p.value + i, value);
  store_vector<V>(p.m + i, m);
  store_vector<V>(p.v + i, v);
}

template <int V>
__global__ void __launch_bounds__(256) adam_kernel(AdamArgs p) {
  if (p.found_inf && *p.found_inf != 0) return;
  const AdamStretch& stretch = p.stretches[blockIdx.y];
  const std::int64_t n = stretch.end - stretch.begin, whole = n / V;
  if (static_cast<std::int64_t>(blockIdx.x) * blockDim.x * V >= n) return;
  __shared__ AdamFactors shared;
  if (threadIdx.x == 0) shared = adam_factors(p, stretch);
  __syncthreads();
  const AdamFactors f = shared;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (std::int64_t i = first; i < whole; i += stride) update<V>(p, f, stretch.begin + i * V);
  if (V > 1 && first < n - whole * V) update<1>(p, f, stretch.begin + whole * V + first);
}

}  // namespace

void adam(const AdamArgs& p, CudaStream exec) {
  std::int64_t longest = 0;
  bool wide = aligned16({p.grad, p.value, p.m, p.v});
  for (std::int64_t i = 0; i < p.count; ++i) {
    const AdamStretch& stretch = p.stretches[static_cast<std::size_t>(i)];
    longest = std::max(longest, stretch.end - stretch.begin);
    wide = wide && stretch.begin % 4 == 0;
  }
  if (longest == 0) return;
  const auto rows = static_cast<unsigned>(p.count);
  if (wide) return launch(adam_kernel<4>, dim3(grid_for(ceil_div(longest, 4), 256), rows), 256, 0, exec, p);
  launch(adam_kernel<1>, dim3(grid_for(longest, 256), rows), 256, 0, exec, p);
}

}  // namespace swath::kernels
