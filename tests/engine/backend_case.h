// What tests of backends and convolution blocks share: numbers, sums with a bound for their rounding, and a convolution's.
#pragma once
#include <cmath>
#include <vector>

#include "tests/reference/conv.h"

namespace swath::testing {

/// Numbers in [-1, 1) that depend on the state and the index alone.
inline std::vector<float> numbers_from(std::int64_t count, std::uint64_t state) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    v = static_cast<float>(static_cast<std::int64_t>(state >> 40)) / 8388608.0f - 1.0f;
  }
  return values;
}
inline std::vector<float> numbers(std::int64_t count, std::uint64_t seed) {
  return numbers_from(count, seed * 0x9e3779b97f4a7c15u + 1);
}

/// A sum in double and the sum of magnitudes, which bounds its rounding error in float.
struct Sums {
  explicit Sums(std::int64_t count) : value(static_cast<std::size_t>(count)), magnitude(value) {}
  void add(std::size_t i, double product) {
    value[i] += product;
    magnitude[i] += std::abs(product);
  }
  std::vector<double> value, magnitude;
};

/// A convolution's result and gradients by their definition.
struct ConvSums {
  ConvSums(const ConvGeometry& g, const std::vector<float>& x, const std::vector<float>& w, const std::vector<float>& d_y)
      : y(g.output_shape().numel()), dx(g.input_shape().numel()), dw(g.weight_shape().numel()) {
    const auto product = [](float a, float b) { return static_cast<double>(a) * static_cast<double>(b); };
    reference::for_products(g, [&](std::size_t i, std::size_t j, std::size_t o) {
      y.add(o, product(x[i], w[j]));
      dx.add(i, product(d_y[o], w[j]));
      dw.add(j, product(d_y[o], x[i]));
    });
  }
  Sums y, dx, dw;
};

}  // namespace swath::testing
