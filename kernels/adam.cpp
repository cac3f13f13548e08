// Adam and AdamW on the CPU (methods.md §3): one pass, reads four arrays, writes three.
#include "kernels/adam.h"

#include "kernels/adam_factors.h"
#include "kernels/parallel.h"

namespace swath::kernels {

void adam(const AdamArgs& p, Cpu) {
  if (p.n == 0 || (p.found_inf && *p.found_inf != 0)) return;
  const AdamFactors factors = adam_factors(p);
  parallel_chunks(p.n, 16384, [&](std::int64_t begin, std::int64_t end) {
    const AdamFactors f = factors;
    const float* __restrict grad = p.grad;
    float* __restrict value = p.value, * __restrict m = p.m, * __restrict v = p.v;
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      float new_value = value[i], new_m = m[i], new_v = v[i];
      adam_element(f, grad[i], new_value, new_m, new_v);
      value[i] = new_value;
      m[i] = new_m;
      v[i] = new_v;
    }
  });
}

}  // namespace swath::kernels
