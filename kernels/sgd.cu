// SGD with momentum on CUDA (methods.md §3): one launch, a row of blocks for every stretch.
#include "kernels/sgd.h"

#include "kernels/stretch.cuh"

namespace swath::kernels {
namespace {

template <class T>
struct SgdUpdate {
  const SgdArgs& p;
  float rate, decay, factor;
  const T* grad;

  template <int V>
  __device__ __forceinline__ void run(std::int64_t i) const {
    Vector<V> step = load_grad<V>(grad, i, factor), value = load_vector<V>(p.value + i);
#pragma unroll
    for (int k = 0; k < V; ++k) step.v[k] += decay * value.v[k];
    if (p.buffer) {
      const Vector<V> before = load_vector<V>(p.buffer + i);
#pragma unroll
      for (int k = 0; k < V; ++k) step.v[k] = p.momentum * before.v[k] + step.v[k];
      store_vector<V>(p.buffer + i, step);
    }
#pragma unroll
    for (int k = 0; k < V; ++k) value.v[k] -= rate * step.v[k];
    store_vector<V>(p.value + i, value);
  }
};

template <int V>
__global__ void __launch_bounds__(256) sgd_kernel(SgdArgs p) {
  const UpdateStretch& stretch = p.stretches[blockIdx.y];
  if ((p.found_inf && *p.found_inf != 0) || !block_has_elements<V>(stretch)) return;
  const float rate = *stretch.learning_rate, decay = static_cast<float>(stretch.weight_decay);
  const float factor = p.grad_factor ? *p.grad_factor : 1.0f;
  with_floats(stretch.grad, stretch.grad_type, [&](const auto* grad) {
    for_elements<V>(stretch, SgdUpdate{p, rate, decay, factor, grad});
  });
}

}  // namespace

void sgd(const SgdArgs& p, CudaStream exec) {
  launch_stretches(sgd_kernel<4>, sgd_kernel<1>, p, aligned16({p.value, p.buffer}), exec);
}

}  // namespace swath::kernels
