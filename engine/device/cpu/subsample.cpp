#include "engine/device/cpu/subsample.h"

#include <cstring>

#include "kernels/parallel.h"

namespace swath::cpu {

bool is_subsampling(const ConvGeometry& g) { return g.r == 1 && g.s == 1 && g.stride > 1 && g.pad == 0 && g.h > 0 && g.w > 0; }

ConvGeometry dense_geometry(const ConvGeometry& g) {
  ConvGeometry dense = g;
  dense.h = g.out_h();
  dense.w = g.out_w();
  dense.stride = 1;
  return dense;
}

void gather_pixels(const ConvGeometry& g, const void* x, void* dense) {
  const std::size_t pixel = static_cast<std::size_t>(g.c) * kernels::size_of(g.dtype);
  const std::int64_t rows = g.out_h(), columns = g.out_w();
  kernels::parallel_for(g.n * rows, [&](std::int64_t i) {
    const std::int64_t row = i / rows * g.h + i % rows * g.stride;
    const auto* from = static_cast<const std::byte*>(x) + static_cast<std::size_t>(row * g.w) * pixel;
    auto* to = static_cast<std::byte*>(dense) + static_cast<std::size_t>(i * columns) * pixel;
    for (std::int64_t j = 0; j < columns; ++j, from += static_cast<std::size_t>(g.stride) * pixel, to += pixel)
      std::memcpy(to, from, pixel);
  });
}

}  // namespace swath::cpu
