// Adam and AdamW on CUDA (methods.md §3): one launch, a row of blocks for every stretch; each block computes the scalars once.
#include "kernels/adam.h"

#include "kernels/adam_factors.h"
#include "kernels/stretch.cuh"

namespace swath::kernels {
namespace {

template <class T>
struct AdamUpdate {
  const AdamArgs& p;
  const AdamFactors& f;
  const T* grad;

  template <int V>
  __device__ __forceinline__ void run(std::int64_t i) const {
    const Vector<V> g = load_grad<V>(grad, i, f.grad_factor);
    Vector<V> value = load_vector<V>(p.value + i), m = load_vector<V>(p.m + i), v = load_vector<V>(p.v + i);
#pragma unroll
    for (int k = 0; k < V; ++k) adam_element(f, g.v[k], value.v[k], m.v[k], v.v[k]);
    store_vector<V>(p.value + i, value);
    store_vector<V>(p.m + i, m);
    store_vector<V>(p.v + i, v);
  }
};

template <int V>
__global__ void __launch_bounds__(256) adam_kernel(AdamArgs p) {
  const UpdateStretch& stretch = p.stretches[blockIdx.y];
  if ((p.found_inf && *p.found_inf != 0) || !block_has_elements<V>(stretch)) return;
  __shared__ AdamFactors shared;
  if (threadIdx.x == 0) shared = adam_factors(p, stretch);
  __syncthreads();
  const AdamFactors f = shared;
  with_floats(stretch.grad, stretch.grad_type, [&](const auto* grad) { for_elements<V>(stretch, AdamUpdate{p, f, grad}); });
}

}  // namespace

void adam(const AdamArgs& p, CudaStream exec) {
  launch_stretches(adam_kernel<4>, adam_kernel<1>, p, aligned16({p.value, p.m, p.v}), exec);
}

}  // namespace swath::kernels
