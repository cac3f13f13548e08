// Augmentation of one image, step by step on whole images in double (methods.md §1).
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace swath::reference {

struct Image {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<double> values;  // height × width × channels
  double at(std::int64_t y, std::int64_t x, std::int64_t c) const { return values[(y * width + x) * channels + c]; }
};

template <class Value>
Image image_from(std::int64_t height, std::int64_t width, std::int64_t channels, const Value& value) {
  Image out{height, width, channels, {}};
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < channels; ++c) out.values.push_back(value(y, x, c));
  return out;
}

/// Counter-clockwise by 90°: the right edge becomes the top.
inline Image quarter_turn(const Image& in) {
  return image_from(in.width, in.height, in.channels,
                    [&](std::int64_t y, std::int64_t x, std::int64_t c) { return in.at(x, in.width - 1 - y, c); });
}

inline Image crop(const Image& in, std::int64_t top, std::int64_t left, std::int64_t height, std::int64_t width) {
  return image_from(height, width, in.channels,
                    [&](std::int64_t y, std::int64_t x, std::int64_t c) { return in.at(top + y, left + x, c); });
}

enum class Flip { none, horizontal, vertical };

inline Image flip(const Image& in, Flip how) {
  return image_from(in.height, in.width, in.channels, [&](std::int64_t y, std::int64_t x, std::int64_t c) {
    return in.at(how == Flip::vertical ? in.height - 1 - y : y, how == Flip::horizontal ? in.width - 1 - x : x, c);
  });
}

inline Image standardise(const Image& in, double divisor) {
  const double pixels = static_cast<double>(in.height * in.width);
  std::vector<double> mean(in.channels, 0), variance(in.channels, 0);
  for (std::size_t i = 0; i < in.values.size(); ++i) mean[i % in.channels] += in.values[i] / divisor / pixels;
  for (std::size_t i = 0; i < in.values.size(); ++i)
    variance[i % in.channels] += std::pow(in.values[i] / divisor - mean[i % in.channels], 2) / pixels;
  Image out = in;
  for (std::size_t i = 0; i < in.values.size(); ++i)
    out.values[i] = (in.values[i] / divisor - mean[i % in.channels]) / (std::sqrt(variance[i % in.channels]) + 1e-8);
  return out;
}

}  // namespace swath::reference
