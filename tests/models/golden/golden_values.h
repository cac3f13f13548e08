// The values that make_resnet_golden.py feeds to PyTorch, and its sketches, computed again.
#pragma once
#include <cmath>
#include <cstdint>
#include <regex>
#include <string>
#include <vector>

#include "engine/core/shape.h"
#include "engine/nn/init.h"

namespace swath::golden {

inline std::uint64_t splitmix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

inline bool ends_with(const std::string& text, const std::string& tail) {
  return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

/// In torch's element order. `shape` is the project's: K×R×S×C weights, N×H×W×C images.
inline std::vector<float> values(const std::string& name, const Shape& shape, int last_norm) {
  const bool weight = shape.rank() == 4 && ends_with(name, "weight");
  const bool last = std::regex_search(name, std::regex("layer\\d\\.\\d+\\.bn" + std::to_string(last_norm) + "\\.weight$"));
  const double bound = weight ? std::sqrt(6.0 / static_cast<double>(shape[0] * shape[1] * shape[2])) : 0;
  std::vector<float> out(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double u = static_cast<double>(splitmix(i ^ name_hash(name)) >> 40) / 16777216.0;
    double v = (2 * u - 1) * 1.5;
    if (weight)
      v = (2 * u - 1) * bound;
    else if (last)
      v = 0.1 + 0.2 * u;
    else if (ends_with(name, "running_var") || ends_with(name, "weight"))
      v = 0.5 + u;
    else if (ends_with(name, "bias") || ends_with(name, "running_mean"))
      v = (2 * u - 1) * 0.2;
    out[i] = static_cast<float>(v);
  }
  return out;
}

/// Both layouts keep the first dimension; torch has channels second, the project last.
template <class From, class To, class Map>
std::vector<To> permuted(const std::vector<From>& from, const Shape& own, Map&& to_own) {
  std::vector<To> out(from.size());
  if (own.rank() != 4) return std::vector<To>(from.begin(), from.end());
  std::size_t own_index = 0;
  for (std::int64_t n = 0; n < own[0]; ++n)
    for (std::int64_t h = 0; h < own[1]; ++h)
      for (std::int64_t w = 0; w < own[2]; ++w)
        for (std::int64_t c = 0; c < own[3]; ++c, ++own_index) {
          const auto torch_index = static_cast<std::size_t>(((n * own[3] + c) * own[1] + h) * own[2] + w);
          if (to_own())
            out[own_index] = static_cast<To>(from[torch_index]);
          else
            out[torch_index] = static_cast<To>(from[own_index]);
        }
  return out;
}

inline std::vector<float> to_own_layout(const std::vector<float>& torch, const Shape& own) {
  return permuted<float, float>(torch, own, [] { return true; });
}

inline std::vector<double> to_torch_layout(const std::vector<float>& values, const Shape& own) {
  return permuted<float, double>(values, own, [] { return false; });
}

inline std::vector<double> sketch(const std::vector<double>& values) {
  constexpr std::size_t kSketch = 512, kWhole = 4096;
  if (values.size() <= kWhole) return values;
  std::vector<double> sums(kSketch);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint64_t h = splitmix(i);
    sums[h % kSketch] += ((h >> 9) & 1) ? -values[i] : values[i];
  }
  return sums;
}

}  // namespace swath::golden
