// SGD with momentum on the CPU (methods.md §3): one pass.
#include "kernels/sgd.h"

#include "kernels/parallel.h"

namespace swath::kernels {

void sgd(const SgdArgs& p, Cpu) {
  if (p.n == 0 || (p.found_inf && *p.found_inf != 0)) return;
  const float rate = *p.learning_rate, momentum = p.momentum, decay = p.weight_decay;
  parallel_chunks(p.n, 16384, [&](std::int64_t begin, std::int64_t end) {
    const float* __restrict grad = p.grad;
    float* __restrict value = p.value, * __restrict buffer = p.buffer;
    if (!buffer) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) value[i] -= rate * (grad[i] + decay * value[i]);
      return;
    }
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      buffer[i] = momentum * buffer[i] + (grad[i] + decay * value[i]);
      value[i] -= rate * buffer[i];
    }
  });
}

}  // namespace swath::kernels
