// Augmentation on the CPU (methods.md §1): integer sums over the crop, then one pass that writes it.
#include "kernels/augment.h"

#include "kernels/augment_draw.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kTile = 768;  // elements of a crop row summed side by side
constexpr std::int64_t kGroup = 64;  // channels standardised at a time

struct Sums {
  std::uint64_t sum[kGroup] = {};
  std::uint64_t squares[kGroup] = {};
};

/// Sums of channels [begin, begin + size) over the crop's rectangle, pixel by pixel: any number of channels.
template <class Source>
void sum_pixels(const AugmentArgs& p, const CropMap& m, const Source* image, std::int64_t begin, std::int64_t size,
                Sums& sums) {
  for (std::int64_t y = 0; y < m.height; ++y) {
    for (std::int64_t x = 0; x < m.width; ++x) {
      const Source* v = image + ((m.top + y) * p.width + m.left + x) * p.channels + begin;
      for (std::int64_t c = 0; c < size; ++c) {
        const std::uint64_t value = v[c];
        sums.sum[c] += value;
        sums.squares[c] += value * value;
      }
    }
  }
}

/// The same for all channels at once (at most kGroup): tiles of whole pixels, one sum per position of the tile.
template <class Source>
void sum_tiles(const AugmentArgs& p, const CropMap& m, const Source* image, Sums& sums) {
  const std::int64_t tile = kTile / p.channels * p.channels, row = m.width * p.channels;
  for (std::int64_t begin = 0; begin < row; begin += tile) {
    const std::int64_t size = std::min(tile, row - begin);
    std::uint64_t sum[kTile] = {}, squares[kTile] = {};
    for (std::int64_t y = 0; y < m.height; ++y) {
      const Source* v = image + ((m.top + y) * p.width + m.left) * p.channels + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < size; ++i) {
        const std::uint32_t value = v[i];
        sum[i] += value;
        squares[i] += value * value;
      }
    }
    for (std::int64_t i = 0; i < size; ++i) {
      sums.sum[i % p.channels] += sum[i];
      sums.squares[i % p.channels] += squares[i];
    }
  }
}

template <class Source, class Out>
void write_crop(const AugmentArgs& p, const CropMap& m, const Source* image, std::int64_t begin, std::int64_t size,
                const Standard* standard, Out* out) {
  for (std::int64_t y = 0; y < p.crop_height; ++y) {
    for (std::int64_t x = 0; x < p.crop_width; ++x) {
      const std::int64_t row = m.row0 + m.row_y * y + m.row_x * x, column = m.column0 + m.column_y * y + m.column_x * x;
      const Source* v = image + (row * p.width + column) * p.channels + begin;
      Out* to = out + (y * p.crop_width + x) * p.out_channels + begin;
      for (std::int64_t c = 0; c < size; ++c) to[c] = from_float<Out>(standardised(v[c], standard[c]));
    }
  }
}

template <class Source, class Out>
void augment_row(const AugmentArgs& p, std::int64_t r) {
  const CropMap m = crop_map(p, r);
  const std::int64_t from = p.source_row ? p.source_row[r] : r, pixels = p.crop_height * p.crop_width;
  const Source* image = static_cast<const Source*>(p.images) + from * p.height * p.width * p.channels;
  Out* out = static_cast<Out*>(p.out) + r * pixels * p.out_channels;
  for (std::int64_t begin = 0; begin < p.channels; begin += kGroup) {
    const std::int64_t size = std::min(kGroup, p.channels - begin);
    Sums sums;
    if (p.channels <= kGroup) {
      sum_tiles(p, m, image, sums);
    } else {
      sum_pixels(p, m, image, begin, size, sums);
    }
    Standard standard[kGroup];
    for (std::int64_t c = 0; c < size; ++c)
      standard[c] = standard_of(sums.sum[c], sums.squares[c], static_cast<std::uint64_t>(pixels), augment_eps(p.source_type));
    write_crop(p, m, image, begin, size, standard, out);
  }
  for (std::int64_t i = 0; i < pixels; ++i)
    for (std::int64_t c = p.channels; c < p.out_channels; ++c) out[i * p.out_channels + c] = from_float<Out>(0);
}

}  // namespace

void augment(const AugmentArgs& p, Cpu) {
  with_element(p.out_type, [&](auto element) {
    using Out = decltype(element);
    if (p.source_type != DType::u8 && p.source_type != DType::u16)
      throw std::invalid_argument("augment takes u8 or u16 images");
    parallel_for(p.rows, [&](std::int64_t r) {
      if (p.source_type == DType::u8) return augment_row<std::uint8_t, Out>(p, r);
      augment_row<std::uint16_t, Out>(p, r);
    });
  });
}

}  // namespace swath::kernels
