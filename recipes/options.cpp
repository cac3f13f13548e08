#include "recipes/options.h"

#include <algorithm>

namespace swath {

std::int64_t crop_side(std::int64_t crop, const ImageSpec& image) {
  const std::int64_t side = std::min(image.height, image.width);
  if (crop == 0) return side == 120 ? 100 : std::max<std::int64_t>(1, side * 7 / 8);
  if (crop > side)
    throw UserError(fmt::format("crop {} is larger than the images, which are {}×{}; choose at most {}", crop, image.height,
                                image.width, side));
  return crop;
}

DeviceOptions device_options(const TrainOptions& options) {
  const bool pipeline = options.conv_pipeline == "on";
  if (pipeline && options.precision != "fp16")
    throw UserError(
        fmt::format("conv_pipeline=on takes precision=fp16, not {}; set one of the two otherwise", options.precision));
  return {.conv_math = options.precision == "tf32" ? Float32Math::tf32 : Float32Math::full,
          .autotune = options.autotune,
          .conv_pipeline = pipeline};
}

std::unique_ptr<Device> open_device(const TrainOptions& options) {
  if (options.precision == "fp16" && options.device == "cpu")
    throw UserError("precision is fp16, which needs a GPU; set precision=bf16 or fp32 on the CPU, or device=cuda:0");
  return Device::open(options.device, device_options(options));
}

}  // namespace swath
