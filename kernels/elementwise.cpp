// Element-wise operations and column sums on the CPU: one pass over memory each.
#include "kernels/elementwise.h"

#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kChunk = 32768;  // elements per task
constexpr std::int64_t kColumns = 64;   // columns per task of a column sum

template <class T>
void column_sums_typed(const ColumnSumsArgs& p) {
  parallel_chunks(p.columns, kColumns, [&](std::int64_t begin, std::int64_t end) {
    double sum[kColumns] = {};
    const std::int64_t size = end - begin;
    for (std::int64_t r = 0; r < p.rows; ++r) {
      const T* x = typed<T>(p.x) + r * p.columns + begin;
#pragma omp simd
      for (std::int64_t c = 0; c < size; ++c) sum[c] += static_cast<double>(to_float(x[c]));
    }
    const bool accumulate = p.mode == GradMode::accumulate;
    for (std::int64_t c = 0; c < size; ++c)
      p.sums[begin + c] = (accumulate ? p.sums[begin + c] : 0.0f) + static_cast<float>(sum[c]);
  });
}

template <class From, class To>
void convert(const CastArgs& p) {
  const From* x = typed<From>(p.x);
  To* out = typed<To>(p.out);
  parallel_chunks(p.n, kChunk, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) out[i] = from_float<To>(to_float(x[i]));
  });
}

}  // namespace

void add(const AddArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const T *a = typed<T>(p.a), *b = typed<T>(p.b);
    T* out = typed<T>(p.out);
    parallel_chunks(p.n, kChunk, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) out[i] = from_float<T>(to_float(a[i]) + to_float(b[i]));
    });
  });
}

void relu(const ReluArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const T* x = typed<T>(p.x);
    T* y = typed<T>(p.y);
    parallel_chunks(p.n, kChunk, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        const float v = to_float(x[i]);
        y[i] = from_float<T>(v < 0 ? 0.0f : v);
      }
    });
  });
}

void relu_backward(const ReluBackwardArgs& p, Cpu) {
  if (p.mode == GradMode::skip) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const T *d_y = typed<T>(p.d_y), *y = typed<T>(p.y);
    T* d_x = typed<T>(p.d_x);
    const bool accumulate = p.mode == GradMode::accumulate;
    parallel_chunks(p.n, kChunk, [&](std::int64_t begin, std::int64_t end) {
      if (accumulate) {
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) {
          const float gradient = to_float(d_y[i]), before = to_float(d_x[i]);
          d_x[i] = from_float<T>(before + (to_float(y[i]) > 0 ? gradient : 0.0f));
        }
        return;
      }
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        const float gradient = to_float(d_y[i]);  // read before the comparison: a read that depends on it keeps the loop scalar
        d_x[i] = from_float<T>(to_float(y[i]) > 0 ? gradient : 0.0f);
      }
    });
  });
}

void scale(const ScaleArgs& p, Cpu) {
  const float factor = p.device_factor ? p.factor * *p.device_factor : p.factor;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const T* x = typed<T>(p.x);
    T* out = typed<T>(p.out);
    parallel_chunks(p.n, kChunk, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) out[i] = from_float<T>(factor * to_float(x[i]));
    });
  });
}

void cast(const CastArgs& p, Cpu) {
  with_element(p.from, [&](auto from) { with_element(p.to, [&](auto to) { convert<decltype(from), decltype(to)>(p); }); });
}

void fill(const FillArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const T value = from_float<T>(p.value);
    T* out = typed<T>(p.out);
    parallel_chunks(p.n, kChunk, [&](std::int64_t begin, std::int64_t end) { std::fill(out + begin, out + end, value); });
  });
}

void column_sums(const ColumnSumsArgs& p, Cpu) {
  if (p.mode == GradMode::skip) return;
  with_element(p.dtype, [&](auto element) { column_sums_typed<decltype(element)>(p); });
}

}  // namespace swath::kernels
