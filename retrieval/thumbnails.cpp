// Thumbnails by area averaging, from RGB and from Sentinel-2 bands (methods.md §8).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "retrieval/samples.h"

namespace swath {
namespace {

/// `value(y, x, c)` is a pixel in [0, 255].
template <class Value>
Thumbnail shrink(std::int64_t height, std::int64_t width, std::int64_t size, const Value& value) {
  if (height < 1 || width < 1 || size < 1)
    throw UserError(fmt::format("a thumbnail of size {} cannot be made from an image of {} x {}; give sizes of at least 1",
                                size, height, width));
  const double scale = std::min(1.0, static_cast<double>(size) / static_cast<double>(std::max(height, width)));
  const auto scaled = [&](std::int64_t side) {
    return std::max<std::int64_t>(1, std::llround(static_cast<double>(side) * scale));
  };
  Thumbnail out{.height = scaled(height), .width = scaled(width), .rgb = {}};
  out.rgb.resize(out.height * out.width * 3);
  for (std::int64_t y = 0; y < out.height; ++y) {
    const std::int64_t top = y * height / out.height, bottom = std::max(top + 1, (y + 1) * height / out.height);
    for (std::int64_t x = 0; x < out.width; ++x) {
      const std::int64_t left = x * width / out.width, right = std::max(left + 1, (x + 1) * width / out.width);
      for (std::int64_t c = 0; c < 3; ++c) {
        double sum = 0;
        for (std::int64_t i = top; i < bottom; ++i)
          for (std::int64_t j = left; j < right; ++j) sum += value(i, j, c);
        const double mean = sum / static_cast<double>((bottom - top) * (right - left));
        out.rgb[(y * out.width + x) * 3 + c] = static_cast<std::uint8_t>(std::lround(mean));
      }
    }
  }
  return out;
}

}  // namespace

Thumbnail thumbnail_rgb8(const std::uint8_t* image, std::int64_t height, std::int64_t width, std::int64_t size) {
  return shrink(height, width, size, [&](std::int64_t y, std::int64_t x, std::int64_t c) {
    return static_cast<double>(image[(y * width + x) * 3 + c]);
  });
}

Thumbnail thumbnail_sentinel2(const Sentinel2Image& image, std::int64_t size) {
  const std::int64_t bands[3] = {image.red, image.green, image.blue};
  double most[3] = {};
  for (int c = 0; c < 3; ++c) {
    if (bands[c] < 0 || bands[c] >= image.channels)
      throw UserError(fmt::format("band {} is not one of the image's {} channels; name the channels of B04, B03 and B02",
                                  bands[c], image.channels));
    std::uint16_t largest = 0;
    for (std::int64_t p = 0; p < image.height * image.width; ++p)
      largest = std::max(largest, image.data[p * image.channels + bands[c]]);
    most[c] = std::max<double>(1, largest);
  }
  return shrink(image.height, image.width, size, [&](std::int64_t y, std::int64_t x, std::int64_t c) {
    return image.data[(y * image.width + x) * image.channels + bands[c]] * 255.0 / most[c];
  });
}

}  // namespace swath
