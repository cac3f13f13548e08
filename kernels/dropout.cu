// Dropout on CUDA (methods.md §2): one launch; a thread draws for four elements, which travel together where they lie so.
#include "kernels/dispatch.h"
#include "kernels/dropout.h"
#include "kernels/philox.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

/// kWhole: no group of four is cut by the ends, and all are aligned.
template <bool kWhole, class T>
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
    const auto kept = [&](float v, int k) { return uniform01(draw.v[k]) < p.keep ? v * inverse : 0.0f; };
    if constexpr (kWhole) {
      Vector<4> v = load_vector<4>(x + (g * 4 - first));
#pragma unroll
      for (int k = 0; k < 4; ++k) v.v[k] = kept(v.v[k], k);
      store_vector<4>(y + (g * 4 - first), v);
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const std::int64_t i = g * 4 + k - first;
        if (i >= 0 && i < n) y[i] = from_float<T>(kept(to_float(x[i]), k));
      }
    }
  }
}

}  // namespace

void dropout(const DropoutArgs& p, CudaStream exec) {
  const std::int64_t n = p.rows * p.columns;
  if (n == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const bool whole = n % 4 == 0 && p.row_offset * p.columns % 4 == 0 && aligned16({p.x, p.y});
    if (whole) return launch(dropout_kernel<true, T>, grid_for(n / 4, 256), 256, 0, exec, p);
    launch(dropout_kernel<false, T>, grid_for(ceil_div(n, 4) + 1, 256), 256, 0, exec, p);
  });
}

}  // namespace swath::kernels
