// Counting non-finite elements on CUDA: one launch; an integer atomic per block that found any.
#include "kernels/dispatch.h"
#include "kernels/nonfinite.h"
#include "kernels/reduce.cuh"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

template <int V, class T>
__device__ int count_vector(const T* x) {
  const Vector<V> v = load_vector<V>(x);
  int found = 0;
#pragma unroll
  for (int k = 0; k < V; ++k) found += is_finite(v.v[k]) ? 0 : 1;
  return found;
}

template <int V, class T>
__global__ void __launch_bounds__(256) nonfinite_kernel(std::int64_t n, const T* x, std::int32_t* count) {
  __shared__ int scratch[kWarp + 1];
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, whole = n / V;
  int found = 0;
  for (std::int64_t i = first; i < whole; i += stride) found += count_vector<V>(x + i * V);
  if (V > 1 && first < n - whole * V) found += count_vector<1>(x + whole * V + first);
  found = block_reduce(found, SumOp{}, 0, scratch);
  if (threadIdx.x == 0 && found != 0) atomicAdd(count, found);
}

}  // namespace

void nonfinite(const NonfiniteArgs& p, CudaStream exec) {
  if (p.n == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int V = kVector<T>;
    const T* x = typed<T>(p.x);
    if (aligned16({x})) return launch(nonfinite_kernel<V, T>, grid_for(ceil_div(p.n, V), 256), 256, 0, exec, p.n, x, p.count);
    launch(nonfinite_kernel<1, T>, grid_for(p.n, 256), 256, 0, exec, p.n, x, p.count);
  });
}

}  // namespace swath::kernels
