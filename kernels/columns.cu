// Column blocks on CUDA: one launch; 16-byte accesses where offsets and strides allow.
#include <algorithm>

#include "kernels/columns.h"
#include "kernels/dispatch.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

template <int V, class T, bool kAccumulate>
__global__ void __launch_bounds__(256) copy_columns_kernel(std::int64_t rows, std::int64_t columns, const T* from,
                                                           std::int64_t from_stride, T* to, std::int64_t to_stride) {
  const std::int64_t column = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * V;
  if (column >= columns) return;
  for (std::int64_t r = static_cast<std::int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; r < rows;
       r += static_cast<std::int64_t>(gridDim.y) * blockDim.y) {
    Vector<V> v = load_vector<V>(from + r * from_stride + column);
    T* out = to + r * to_stride + column;
    if constexpr (kAccumulate) {
      const Vector<V> before = load_vector<V>(out);
#pragma unroll
      for (int k = 0; k < V; ++k) v.v[k] += before.v[k];
    }
    store_vector<V>(out, v);
  }
}

template <int V, class T>
void copy_typed(const CopyColumnsArgs& p, CudaStream exec) {
  const dim3 grid(static_cast<unsigned>(ceil_div(p.columns, 32 * V)),
                  static_cast<unsigned>(std::min<std::int64_t>(ceil_div(p.rows, 8), 4096)));
  const auto kernel = p.mode == GradMode::accumulate ? copy_columns_kernel<V, T, true> : copy_columns_kernel<V, T, false>;
  launch(kernel, grid, dim3(32, 8), 0, exec, p.rows, p.columns, typed<T>(p.from), p.from_stride, typed<T>(p.to), p.to_stride);
}

}  // namespace

void copy_columns(const CopyColumnsArgs& p, CudaStream exec) {
  if (p.mode == GradMode::skip || p.columns == 0 || p.rows == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int V = kVector<T>;
    if (aligned16({p.from, p.to}) && p.columns % V == 0 && p.from_stride % V == 0 && p.to_stride % V == 0)
      return copy_typed<V, T>(p, exec);
    copy_typed<1, T>(p, exec);
  });
}

}  // namespace swath::kernels
