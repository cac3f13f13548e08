// Pooling of NHWC images, naive loops (methods.md §2).
#pragma once
#include <cstdint>
#include <limits>
#include <vector>

namespace swath::reference {

struct PoolSizes {
  std::int64_t n = 0, height = 0, width = 0, channels = 0, window = 3, stride = 2, pad = 1;
  std::int64_t out_height() const { return (height + 2 * pad - window) / stride + 1; }
  std::int64_t out_width() const { return (width + 2 * pad - window) / stride + 1; }
};

struct MaxPooled {
  std::vector<double> y;
  std::vector<int> tap;              // row · window + column of the first maximum
  std::vector<std::int64_t> source;  // its element of x
};

inline MaxPooled max_pool(const PoolSizes& z, const std::vector<double>& x) {
  MaxPooled out;
  for (std::int64_t n = 0; n < z.n; ++n)
    for (std::int64_t i = 0; i < z.out_height(); ++i)
      for (std::int64_t j = 0; j < z.out_width(); ++j)
        for (std::int64_t c = 0; c < z.channels; ++c) {
          double best = -std::numeric_limits<double>::infinity();
          int tap = -1;
          std::int64_t source = -1;
          for (std::int64_t r = 0; r < z.window; ++r)
            for (std::int64_t s = 0; s < z.window; ++s) {
              const std::int64_t row = i * z.stride - z.pad + r, column = j * z.stride - z.pad + s;
              if (row < 0 || row >= z.height || column < 0 || column >= z.width) continue;
              const std::int64_t at = ((n * z.height + row) * z.width + column) * z.channels + c;
              if (tap >= 0 && !(x[at] > best)) continue;
              best = x[at];
              tap = static_cast<int>(r * z.window + s);
              source = at;
            }
          out.y.push_back(best);
          out.tap.push_back(tap);
          out.source.push_back(source);
        }
  return out;
}

template <class Real>
std::vector<Real> average_pool(std::int64_t n, std::int64_t positions, std::int64_t channels, const std::vector<Real>& x) {
  std::vector<Real> y(n * channels, 0);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t k = 0; k < positions; ++k) y[i * channels + c] += x[(i * positions + k) * channels + c];
      y[i * channels + c] /= static_cast<Real>(positions);
    }
  return y;
}

}  // namespace swath::reference
