// Global average pooling on the CPU (methods.md §2): channels are the inner, vectorised loop.
#include "kernels/pool.h"

#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kColumns = 64;  // channels kept in registers or the first cache at a time

}  // namespace

void average_pool(const AveragePoolArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    parallel_for(p.n, [&](std::int64_t i) {
      for (std::int64_t begin = 0; begin < p.channels; begin += kColumns) {
        const std::int64_t size = std::min(kColumns, p.channels - begin);
        double sum[kColumns] = {};
        for (std::int64_t k = 0; k < p.positions; ++k) {
          const T* x = typed<T>(p.x) + (i * p.positions + k) * p.channels + begin;
#pragma omp simd
          for (std::int64_t c = 0; c < size; ++c) sum[c] += static_cast<double>(to_float(x[c]));
        }
        for (std::int64_t c = 0; c < size; ++c)
          p.y[i * p.channels + begin + c] = static_cast<float>(sum[c] / static_cast<double>(p.positions));
      }
    });
  });
}

void average_pool_backward(const AveragePoolBackwardArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const float share = 1.0f / static_cast<float>(p.positions);
    parallel_for(p.n * p.positions, [&](std::int64_t i) {
      const float* d_y = p.d_y + i / p.positions * p.channels;
      T* d_x = typed<T>(p.d_x) + i * p.channels;
#pragma omp simd
      for (std::int64_t c = 0; c < p.channels; ++c) d_x[c] = from_float<T>(d_y[c] * share);
    });
  });
}

}  // namespace swath::kernels
