#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace swath {

namespace {

constexpr int kChannels = 3;

/// Output i is the sum of `count[i]` inputs from `first[i]`, weighted by `weights[i * width …]`.
struct Filter {
  std::int64_t width = 0;
  std::vector<std::int64_t> first, count;
  std::vector<float> weights;
};

Filter triangle(std::int64_t from, std::int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double support = std::max(scale, 1.0);
  Filter f;
  f.width = 2 * static_cast<std::int64_t>(std::ceil(support)) + 1;
  f.weights.resize(static_cast<std::size_t>(to * f.width));
  for (std::int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const std::int64_t first = std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - support + 0.5));
    const std::int64_t last = std::min(from, static_cast<std::int64_t>(centre + support + 0.5));
    float* w = f.weights.data() + i * f.width;
    double sum = 0;
    std::vector<double> exact(static_cast<std::size_t>(f.width));
    for (std::int64_t j = first; j < last; ++j) {
      const double x = std::abs((static_cast<double>(j) - centre + 0.5) / support);
      sum += exact[static_cast<std::size_t>(j - first)] = std::max(0.0, 1.0 - x);
    }
    for (std::int64_t j = first; j < last; ++j)
      w[j - first] = static_cast<float>(exact[static_cast<std::size_t>(j - first)] / sum);
    f.first.push_back(first);
    f.count.push_back(last - first);
  }
  return f;
}

std::uint8_t rounded(float v) { return static_cast<std::uint8_t>(std::clamp(v + 0.5f, 0.0f, 255.0f)); }

/// One line of floats, from_width × 3, to one of bytes; the sums stay in registers.
void resample_line(const Filter& columns, const float* line, std::uint8_t* target) {
  for (std::size_t x = 0; x < columns.first.size(); ++x) {
    const float* w = columns.weights.data() + static_cast<std::int64_t>(x) * columns.width;
    const float* source = line + columns.first[x] * kChannels;
    float sum[kChannels] = {};
    for (std::int64_t j = 0; j < columns.count[x]; ++j)
      for (int c = 0; c < kChannels; ++c) sum[c] += w[j] * source[j * kChannels + c];
    for (int c = 0; c < kChannels; ++c) *target++ = rounded(sum[c]);
  }
}

}  // namespace

void resample_bilinear(const ResampleArgs& a) {
  const std::int64_t in_row = a.from_width * kChannels, out_row = a.to_width * kChannels;
  const Filter columns = triangle(a.from_width, a.to_width), rows = triangle(a.from_height, a.to_height);
  // Rows first, into one line of floats at a time, then columns: memory stays at one line.
  std::vector<float> line(static_cast<std::size_t>(in_row));
  for (std::int64_t y = 0; y < a.to_height; ++y) {
    std::fill(line.begin(), line.end(), 0.0f);
    for (std::int64_t j = 0; j < rows.count[static_cast<std::size_t>(y)]; ++j) {
      const float w = rows.weights[static_cast<std::size_t>(y * rows.width + j)];
      const std::uint8_t* source = a.from + (rows.first[static_cast<std::size_t>(y)] + j) * in_row;
      for (std::int64_t x = 0; x < in_row; ++x) line[static_cast<std::size_t>(x)] += w * static_cast<float>(source[x]);
    }
    resample_line(columns, line.data(), a.to + y * out_row);
  }
}

}  // namespace swath
