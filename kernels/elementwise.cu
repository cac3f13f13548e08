// Element-wise operations and column sums on CUDA. Each is one launch that touches memory once, 16 bytes at a time.
#include "kernels/dispatch.h"
#include "kernels/elementwise.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

template <class T>
struct AddBody {
  const T *a, *b;
  T* out;
  template <int V>
  __device__ void run(std::int64_t i) const {
    Vector<V> v = load_vector<V>(a + i);
    const Vector<V> w = load_vector<V>(b + i);
#pragma unroll
    for (int k = 0; k < V; ++k) v.v[k] += w.v[k];
    store_vector<V>(out + i, v);
  }
};

template <class T>
struct ReluBody {
  const T* x;
  T* y;
  template <int V>
  __device__ void run(std::int64_t i) const {
    Vector<V> v = load_vector<V>(x + i);
#pragma unroll
    for (int k = 0; k < V; ++k) v.v[k] = v.v[k] < 0 ? 0.0f : v.v[k];
    store_vector<V>(y + i, v);
  }
};

template <class T, bool kAccumulate>
struct ReluBackwardBody {
  const T *d_y, *y;
  T* d_x;
  template <int V>
  __device__ void run(std::int64_t i) const {
    Vector<V> g = load_vector<V>(d_y + i);
    const Vector<V> out = load_vector<V>(y + i);
#pragma unroll
    for (int k = 0; k < V; ++k) g.v[k] = out.v[k] > 0 ? g.v[k] : 0.0f;
    if constexpr (kAccumulate) {
      const Vector<V> before = load_vector<V>(d_x + i);
#pragma unroll
      for (int k = 0; k < V; ++k) g.v[k] += before.v[k];
    }
    store_vector<V>(d_x + i, g);
  }
};

template <class T>
struct ScaleBody {
  const T* x;
  T* out;
  float factor;
  const float* device_factor;
  template <int V>
  __device__ void run(std::int64_t i) const {
    const float f = device_factor ? factor * *device_factor : factor;
    Vector<V> v = load_vector<V>(x + i);
#pragma unroll
    for (int k = 0; k < V; ++k) v.v[k] *= f;
    store_vector<V>(out + i, v);
  }
};

template <class From, class To>
struct CastBody {
  const From* x;
  To* out;
  template <int V>
  __device__ void run(std::int64_t i) const {
    store_vector<V>(out + i, load_vector<V>(x + i));
  }
};

template <class T>
struct FillBody {
  T* out;
  float value;
  template <int V>
  __device__ void run(std::int64_t i) const {
    Vector<V> v;
#pragma unroll
    for (int k = 0; k < V; ++k) v.v[k] = value;
    store_vector<V>(out + i, v);
  }
};

constexpr int kSumColumns = 32, kSumRows = 8;

template <class T>
__global__ void __launch_bounds__(kSumColumns* kSumRows)
    column_sums_kernel(std::int64_t rows, std::int64_t columns, const T* x, float* sums, bool accumulate) {
  __shared__ double partial[kSumRows][kSumColumns + 1];
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kSumColumns + threadIdx.x;
  double sum = 0;
  if (column < columns)
    for (std::int64_t r = threadIdx.y; r < rows; r += kSumRows) sum += static_cast<double>(to_float(x[r * columns + column]));
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  for (int k = 1; k < kSumRows; ++k) sum += partial[k][threadIdx.x];
  sums[column] = (accumulate ? sums[column] : 0.0f) + static_cast<float>(sum);
}

}  // namespace

void add(const AddArgs& p, CudaStream exec) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    map_elements<kVector<T>>(p.n, aligned16({p.a, p.b, p.out}), AddBody<T>{typed<T>(p.a), typed<T>(p.b), typed<T>(p.out)},
                             exec);
  });
}

void relu(const ReluArgs& p, CudaStream exec) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    map_elements<kVector<T>>(p.n, aligned16({p.x, p.y}), ReluBody<T>{typed<T>(p.x), typed<T>(p.y)}, exec);
  });
}

void relu_backward(const ReluBackwardArgs& p, CudaStream exec) {
  if (p.mode == GradMode::skip) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const bool aligned = aligned16({p.d_y, p.y, p.d_x});
    const T *d_y = typed<T>(p.d_y), *y = typed<T>(p.y);
    T* d_x = typed<T>(p.d_x);
    if (p.mode == GradMode::accumulate)
      return map_elements<kVector<T>>(p.n, aligned, ReluBackwardBody<T, true>{d_y, y, d_x}, exec);
    map_elements<kVector<T>>(p.n, aligned, ReluBackwardBody<T, false>{d_y, y, d_x}, exec);
  });
}

void scale(const ScaleArgs& p, CudaStream exec) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    map_elements<kVector<T>>(p.n, aligned16({p.x, p.out}),
                             ScaleBody<T>{typed<T>(p.x), typed<T>(p.out), p.factor, p.device_factor}, exec);
  });
}

void cast(const CastArgs& p, CudaStream exec) {
  with_element(p.from, [&](auto from) {
    with_element(p.to, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      map_elements<4>(p.n, aligned16({p.x, p.out}), CastBody<From, To>{typed<From>(p.x), typed<To>(p.out)}, exec);
    });
  });
}

void fill(const FillArgs& p, CudaStream exec) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    map_elements<kVector<T>>(p.n, aligned16({p.out}), FillBody<T>{typed<T>(p.out), p.value}, exec);
  });
}

void column_sums(const ColumnSumsArgs& p, CudaStream exec) {
  if (p.mode == GradMode::skip || p.columns == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    launch(column_sums_kernel<T>, dim3(static_cast<unsigned>(ceil_div(p.columns, kSumColumns))), dim3(kSumColumns, kSumRows), 0,
           exec, p.rows, p.columns, typed<T>(p.x), p.sums, p.mode == GradMode::accumulate);
  });
}

}  // namespace swath::kernels
