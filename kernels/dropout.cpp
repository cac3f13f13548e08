// Dropout on the CPU (methods.md §2).
#include "kernels/dropout.h"

#include "kernels/dispatch.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"

namespace swath::kernels {

void dropout(const DropoutArgs& p, Cpu) {
  const std::int64_t n = p.rows * p.columns, first = p.row_offset * p.columns;
  if (n == 0) return;
  const float inverse = 1 / p.keep;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const T* x = typed<T>(p.x);
    T* y = typed<T>(p.y);
    parallel_chunks(n, 4096, [&](std::int64_t begin, std::int64_t end) {
      Philox4 draw{};
      for (std::int64_t i = begin; i < end; ++i) {
        const std::uint64_t at = static_cast<std::uint64_t>(first + i);
        if (i == begin || at % 4 == 0) draw = philox(p.seed, *p.step, RandomStream::dropout, at / 4, p.layer);
        y[i] = from_float<T>(uniform01(draw.v[at % 4]) < p.keep ? to_float(x[i]) * inverse : 0.0f);
      }
    });
  });
}

}  // namespace swath::kernels
