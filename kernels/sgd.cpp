// SGD with momentum on the CPU (methods.md §3): one pass.
#include "kernels/sgd.h"

#include "kernels/parallel.h"
#include "kernels/stretch_grad.h"

namespace swath::kernels {

namespace {

template <class Grad>
void update(const SgdArgs& p, const UpdateStretch& stretch, const Grad& grad) {
  const float rate = *stretch.learning_rate, momentum = p.momentum, decay = static_cast<float>(stretch.weight_decay);
  parallel_chunks(stretch.end - stretch.begin, 16384, [&](std::int64_t begin, std::int64_t end) {
    float* __restrict value = p.value + stretch.begin;
    if (!p.buffer) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) value[i] -= rate * (grad(stretch.begin + i) + decay * value[i]);
      return;
    }
    float* __restrict buffer = p.buffer + stretch.begin;
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      buffer[i] = momentum * buffer[i] + (grad(stretch.begin + i) + decay * value[i]);
      value[i] -= rate * buffer[i];
    }
  });
}

}  // namespace

void sgd(const SgdArgs& p, Cpu) {
  if (p.found_inf && *p.found_inf != 0) return;
  for (std::int64_t i = 0; i < p.count; ++i) {
    const UpdateStretch& stretch = p.stretches[static_cast<std::size_t>(i)];
    if (stretch.end > stretch.begin) with_grad(stretch, p.grad_factor, [&](const auto& grad) { update(p, stretch, grad); });
  }
}

}  // namespace swath::kernels
