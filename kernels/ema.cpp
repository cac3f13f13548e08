// Exponential moving average on the CPU (methods.md §6): one pass.
#include "kernels/ema.h"

#include "kernels/parallel.h"

namespace swath::kernels {

void ema(const EmaArgs& p, Cpu) {
  if (p.n == 0) return;
  const float mu = *p.mu, rest = 1 - mu;
  parallel_chunks(p.n, 32768, [&](std::int64_t begin, std::int64_t end) {
    const float* __restrict source = p.source;
    float* __restrict target = p.target;
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) target[i] = mu * target[i] + rest * source[i];
  });
}

}  // namespace swath::kernels
