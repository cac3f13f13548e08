#include "kernels/augment.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> augment_benchmarks() {
  return {{"augment",
           "crop, flip and standardisation of 8-bit images",
           {rows_axis({32}, 2),
            {.name = "size", .values = {256}, .counted = 64, .high = 1 << 12},
            {.name = "crop", .values = {224}, .counted = 56, .high = 1 << 12},
            {.name = "channels", .values = {3}, .counted = 3, .high = 256},
            bits_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], size = sizes["size"], crop = sizes["crop"], channels = sizes["channels"];
             if (crop > size)
               throw UserError(fmt::format("the axis crop of augment must not exceed size, {} and {}", crop, size));
             std::vector<std::uint8_t> images(static_cast<std::size_t>(rows * size * size * channels));
             for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
             const AugmentArgs args{.rows = rows,
                                    .height = size,
                                    .width = size,
                                    .channels = channels,
                                    .crop_height = crop,
                                    .crop_width = crop,
                                    .out_channels = channels,
                                    .out_type = sizes.dtype(),
                                    .images = arena.put(images),
                                    .seed = 1,
                                    .step = arena.put_one<std::uint64_t>(1),
                                    .out = arena.output(rows * crop * crop * channels, sizes.dtype())};
             return arena.job([args](auto exec) { augment(args, exec); });
           }}};
}

}  // namespace swath::bench
