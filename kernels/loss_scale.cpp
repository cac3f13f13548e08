// Dynamic loss scaling on the CPU: one pass over the gradients.
#include "kernels/loss_scale.h"

#include "kernels/dispatch.h"
#include "kernels/loss_scale_next.h"
#include "kernels/parallel.h"

namespace swath::kernels {

namespace {

template <class T>
bool finds_nonfinite(const T* grad, std::int64_t n) {
  bool found = false;
  parallel_chunks(n, 32768, [&](std::int64_t begin, std::int64_t end) {
    std::int32_t here = 0;
#pragma omp simd reduction(| : here)
    for (std::int64_t i = begin; i < end; ++i) here |= is_finite(to_float(grad[i])) ? 0 : 1;
    if (here == 0) return;
#pragma omp atomic write
    found = true;
  });
  return found;
}

}  // namespace

void loss_scale(const LossScaleArgs& p, Cpu) {
  bool found = false;
  for (std::int64_t i = 0; i < p.count; ++i) {
    const LossScalePart& part = p.parts[static_cast<std::size_t>(i)];
    with_element(part.type,
                 [&](auto element) { found = finds_nonfinite(typed<decltype(element)>(part.grad), part.n) || found; });
  }
  next_loss_scale(*p.state, found, p.growth_steps);
}

}  // namespace swath::kernels
