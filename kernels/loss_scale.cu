// Dynamic loss scaling on CUDA: one launch with 16-byte accesses; the last block to finish moves the state on.
#include "kernels/loss_scale.h"
#include "kernels/loss_scale_next.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

template <int V>
__device__ __forceinline__ bool unscale(float* p, float inverse) {
  Vector<V> grad = load_vector<V>(p);
  bool found = false;
#pragma unroll
  for (int k = 0; k < V; ++k) {
    found = found || !is_finite(grad.v[k]);
    grad.v[k] *= inverse;
  }
  store_vector<V>(p, grad);
  return found;
}

template <int V>
__global__ void __launch_bounds__(256) loss_scale_kernel(LossScaleArgs p) {
  std::uint32_t *arrived = p.counters, *seen = p.counters + 1;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x, whole = p.n / V;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const float inverse = 1 / p.state->scale;
  bool found = false;
  for (std::int64_t i = first; i < whole; i += stride) found = unscale<V>(p.grad + i * V, inverse) || found;
  if (V > 1 && first < p.n - whole * V) found = unscale<1>(p.grad + whole * V + first, inverse) || found;
  // The barrier also comes after every read of the scale.
  const bool any = __syncthreads_or(found) != 0;
  if (threadIdx.x != 0) return;
  if (any) atomicOr(seen, 1u);
  __threadfence();
  // Wraps to zero with the last block.
  if (atomicInc(arrived, gridDim.x - 1) != gridDim.x - 1) return;
  __threadfence();
  LossScaleState state = *p.state;
  next_loss_scale(state, atomicExch(seen, 0u) != 0, p.growth_steps);
  *p.state = state;
}

}  // namespace

void loss_scale(const LossScaleArgs& p, CudaStream exec) {
  // Without gradients the state moves on all the same.
  if (aligned16({p.grad}) && p.n >= 4) return launch(loss_scale_kernel<4>, grid_for(ceil_div(p.n, 4), 256), 256, 0, exec, p);
  launch(loss_scale_kernel<1>, grid_for(p.n, 256), 256, 0, exec, p);
}

}  // namespace swath::kernels
