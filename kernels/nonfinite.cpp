// Counting non-finite elements on the CPU: one pass over the bits.
#include "kernels/nonfinite.h"

#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

template <class Bits>
void count_bits(const NonfiniteArgs& p, Bits exponent) {
  const Bits* x = static_cast<const Bits*>(p.x);
  parallel_chunks(p.n, 32768, [&](std::int64_t begin, std::int64_t end) {
    std::int32_t found = 0;
#pragma omp simd reduction(+ : found)
    for (std::int64_t i = begin; i < end; ++i) found += (x[i] & exponent) == exponent ? 1 : 0;
    if (found == 0) return;
#pragma omp atomic
    *p.count += found;
  });
}

}  // namespace

void nonfinite(const NonfiniteArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    if constexpr (sizeof(element) == 4) return count_bits<std::uint32_t>(p, 0x7f800000u);
    count_bits<std::uint16_t>(p, p.dtype == DType::bf16 ? 0x7f80u : 0x7c00u);
  });
}

}  // namespace swath::kernels
