// Dynamic loss scaling on CUDA: one launch that reads four gradients at a time; the last block to finish moves the state on.
#include "kernels/loss_scale.h"

#include <algorithm>

#include "kernels/loss_scale_next.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

template <int V, class T>
__device__ __forceinline__ bool nonfinite_at(const T* p) {
  const Vector<V> grad = load_vector<V>(p);
  bool found = false;
#pragma unroll
  for (int k = 0; k < V; ++k) found = found || !is_finite(grad.v[k]);
  return found;
}

/// Whether this thread's share of n gradients has one that is not finite.
template <int V, class T>
__device__ __forceinline__ bool finds_nonfinite(const T* grad, std::int64_t n) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x, whole = n / V;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  bool found = false;
  for (std::int64_t i = first; i < whole; i += stride) found = nonfinite_at<V>(grad + i * V) || found;
  if (V > 1 && first < n - whole * V) found = nonfinite_at<1>(grad + whole * V + first) || found;
  return found;
}

template <int V>
__device__ __forceinline__ bool finds_nonfinite(const LossScalePart& part) {
  return with_floats(part.grad, part.type, [&](const auto* grad) { return finds_nonfinite<V>(grad, part.n); });
}

template <int V>
__global__ void __launch_bounds__(256) loss_scale_kernel(LossScaleArgs p) {
  std::uint32_t *arrived = p.counters, *seen = p.counters + 1;
  bool found = false;
  for (std::int64_t i = 0; i < p.count; ++i) found = finds_nonfinite<V>(p.parts[static_cast<std::size_t>(i)]) || found;
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
  std::int64_t longest = 0;
  bool aligned = true;
  for (std::int64_t i = 0; i < p.count; ++i) {
    const LossScalePart& part = p.parts[static_cast<std::size_t>(i)];
    longest = std::max(longest, part.n);
    aligned = aligned && aligned16({part.grad});
  }
  // Without gradients the state moves on all the same.
  launch(aligned ? loss_scale_kernel<4> : loss_scale_kernel<1>, grid_for(ceil_div(longest, aligned ? 4 : 1), 256), 256, 0, exec,
         p);
}

}  // namespace swath::kernels
