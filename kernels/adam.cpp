// Adam and AdamW on the CPU (methods.md §3): one pass, reads four arrays, writes three.
#include "kernels/adam.h"

#include "kernels/adam_factors.h"
#include "kernels/parallel.h"
#include "kernels/stretch_grad.h"

namespace swath::kernels {

namespace {

template <class Grad>
void update(const AdamArgs& p, const UpdateStretch& stretch, const Grad& grad) {
  const AdamFactors factors = adam_factors(p, stretch);
  parallel_chunks(stretch.end - stretch.begin, 16384,
                  [&](std::int64_t begin, std::int64_t end) {
                    const AdamFactors f = factors;
                    float* __restrict value = p.value + stretch.begin, * __restrict m = p.m + stretch.begin,
                      * __restrict v = p.v + stretch.begin;
#pragma omp simd
                    for (std::int64_t i = begin; i < end; ++i) {
                      float new_value = value[i], new_m = m[i], new_v = v[i];
                      adam_element(f, grad(stretch.begin + i), new_value, new_m, new_v);
                      value[i] = new_value;
                      m[i] = new_m;
                      v[i] = new_v;
                    }
                  });
}

}  // namespace

void adam(const AdamArgs& p, Cpu) {
  if (p.found_inf && *p.found_inf != 0) return;
  for (std::int64_t i = 0; i < p.count; ++i) {
    const UpdateStretch& stretch = p.stretches[static_cast<std::size_t>(i)];
    if (stretch.end > stretch.begin) with_grad(stretch, p.grad_factor, [&](const auto& grad) { update(p, stretch, grad); });
  }
}

}  // namespace swath::kernels
