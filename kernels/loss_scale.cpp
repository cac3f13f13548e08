// Dynamic loss scaling on the CPU: one pass over the gradients.
#include "kernels/loss_scale.h"

#include "kernels/loss_scale_next.h"
#include "kernels/parallel.h"

namespace swath::kernels {

void loss_scale(const LossScaleArgs& p, Cpu) {
  const float inverse = 1 / p.state->scale;
  bool found = false;
  parallel_chunks(p.n, 32768, [&](std::int64_t begin, std::int64_t end) {
    std::int32_t here = 0;
#pragma omp simd reduction(| : here)
    for (std::int64_t i = begin; i < end; ++i) {
      here |= is_finite(p.grad[i]) ? 0 : 1;
      p.grad[i] *= inverse;
    }
    if (here == 0) return;
#pragma omp atomic write
    found = true;
  });
  next_loss_scale(*p.state, found, p.growth_steps);
}

}  // namespace swath::kernels
