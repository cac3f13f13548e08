// Column blocks on the CPU: row by row.
#include "kernels/columns.h"

#include <cstring>

#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {

void copy_columns(const CopyColumnsArgs& p, Cpu) {
  if (p.mode == GradMode::skip || p.columns == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    parallel_for(p.rows, [&](std::int64_t r) {
      const T* from = typed<T>(p.from) + r * p.from_stride;
      T* to = typed<T>(p.to) + r * p.to_stride;
      if (p.mode == GradMode::overwrite) {
        std::memcpy(to, from, static_cast<std::size_t>(p.columns) * sizeof(T));
        return;
      }
#pragma omp simd
      for (std::int64_t c = 0; c < p.columns; ++c) to[c] = from_float<T>(to_float(to[c]) + to_float(from[c]));
    });
  });
}

}  // namespace swath::kernels
