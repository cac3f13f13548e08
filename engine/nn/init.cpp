#include "engine/nn/init.h"

#include <cmath>

#include "kernels/philox.h"

namespace swath {

namespace {

using kernels::philox;
using kernels::Philox4;
using kernels::RandomStream;

}  // namespace

Initializer constant_init(float value) {
  return [value](float* values, const Shape& shape) { std::fill_n(values, shape.numel(), value); };
}

Initializer he_normal_init(std::uint64_t seed, std::uint64_t stream_index) {
  return [=](float* values, const Shape& shape) {
    const double deviation = std::sqrt(2.0 / static_cast<double>(shape[0] * shape[1] * shape[2]));
    for (std::int64_t i = 0; i < shape.numel(); ++i) {
      const Philox4 bits = philox(seed, stream_index, RandomStream::init, static_cast<std::uint64_t>(i));
      // Box–Muller on two 32-bit uniforms, the first in (0, 1].
      const double u = (static_cast<double>(bits.v[0]) + 1.0) / 4294967296.0;
      const double v = static_cast<double>(bits.v[1]) / 4294967296.0;
      values[i] = static_cast<float>(deviation * std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * M_PI * v));
    }
  };
}

Initializer linear_init(std::uint64_t seed, std::uint64_t stream_index, std::int64_t fan_in) {
  return [=](float* values, const Shape& shape) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
    for (std::int64_t i = 0; i < shape.numel(); ++i) {
      const Philox4 bits = philox(seed, stream_index, RandomStream::init, static_cast<std::uint64_t>(i));
      values[i] = static_cast<float>(bound * (2.0 * (static_cast<double>(bits.v[0]) + 0.5) / 4294967296.0 - 1.0));
    }
  };
}

std::uint64_t name_hash(const std::string& name) {
  std::uint64_t hash = 14695981039346656037ull;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

}  // namespace swath
