// A convolution and its gradients, naive loops in double: x n×h×w×c, w k×r×s×c, y n×oh×ow×k.
#pragma once
#include <vector>

#include "engine/device/backend.h"

namespace swath::reference {

/// Calls body(element of x, of w, of y) for every product of the convolution.
template <class Body>
void for_products(const ConvGeometry& g, const Body& body) {
  const std::int64_t oh = g.out_h(), ow = g.out_w();
  for (std::int64_t y = 0; y < g.n * oh * ow; ++y)
    for (std::int64_t r = 0; r < g.r; ++r)
      for (std::int64_t s = 0; s < g.s; ++s) {
        const std::int64_t row = y / ow % oh * g.stride - g.pad + r, column = y % ow * g.stride - g.pad + s;
        if (row < 0 || row >= g.h || column < 0 || column >= g.w) continue;
        const std::int64_t x = ((y / ow / oh * g.h + row) * g.w + column) * g.c;
        for (std::int64_t k = 0; k < g.k; ++k)
          for (std::int64_t c = 0; c < g.c; ++c)
            body(static_cast<std::size_t>(x + c), static_cast<std::size_t>(((k * g.r + r) * g.s + s) * g.c + c),
                 static_cast<std::size_t>(y * g.k + k));
      }
}

using Doubles = std::vector<double>;

inline Doubles conv(const ConvGeometry& g, const Doubles& x, const Doubles& w) {
  Doubles y(static_cast<std::size_t>(g.output_shape().numel()));
  for_products(g, [&](std::size_t i, std::size_t j, std::size_t o) { y[o] += x[i] * w[j]; });
  return y;
}

inline Doubles conv_data_gradient(const ConvGeometry& g, const Doubles& dy, const Doubles& w) {
  Doubles dx(static_cast<std::size_t>(g.input_shape().numel()));
  for_products(g, [&](std::size_t i, std::size_t j, std::size_t o) { dx[i] += dy[o] * w[j]; });
  return dx;
}

inline Doubles conv_weight_gradient(const ConvGeometry& g, const Doubles& x, const Doubles& dy) {
  Doubles dw(static_cast<std::size_t>(g.weight_shape().numel()));
  for_products(g, [&](std::size_t i, std::size_t j, std::size_t o) { dw[j] += x[i] * dy[o]; });
  return dw;
}

}  // namespace swath::reference
