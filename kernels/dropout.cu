// Dropout on CUDA (methods.md §2): one launch; a thread draws for four elements.
#include "kernels/dispatch.h"
#include "kernels/dropout.h"
#include "kernels/philox.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

template <class T>
__global__ void __launch_bounds__(256) dropout_kernel(DropoutArgs p) {
  const std::int64_t n = p.rows * p.columns, first = p.row_offset * p.columns, last_group = (first + n - 1) / 4;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const float inverse = 1 / p.keep;
  const std::uint64_t step = *p.step;
  for (std::int64_t g = first / 4 + static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; g <= last_group;
       g += stride) {
    const Philox4 draw = philox(p.seed, step, RandomStream::dropout, static_cast<std::uint64_t>(g), p.layer);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const std::int64_t i = g * 4 + k - first;
      if (i >= 0 && i < n) y[i] = from_float<T>(uniform01(draw.v[k]) < p.keep ? to_float(x[i]) * inverse : 0.0f);
    }
  }
}

}  // namespace

void dropout(const DropoutArgs& p, CudaStream exec) {
  const std::int64_t n = p.rows * p.columns;
  if (n == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    launch(dropout_kernel<T>, grid_for(ceil_div(n, 4) + 1, 256), 256, 0, exec, p);
  });
}

}  // namespace swath::kernels
