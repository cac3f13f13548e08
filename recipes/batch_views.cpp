#include "recipes/batch_views.h"

namespace swath {

BatchViews::BatchViews(Device& device, const ImageSpec& image, const void* pixels, std::int64_t n, ViewFormat format)
    : device_(&device), image_(image), pixels_(pixels), n_(n), format_(format) {
  if (!device.is_cuda()) return;
  source_ = Tensor::empty(device, {n, image.height, image.width, image.channels}, image.dtype, Tag::input);
  source_.copy_from_host(pixels);
  pixels_ = source_.raw();
}

Tensor BatchViews::make(const ViewOptions& view, RandomKey random) const {
  SWATH_CHECK(view.rotation == AugmentRotation::none || image_.height == image_.width, "a rotated view of {}×{} images",
              image_.height, image_.width);
  const Tensor out = Tensor::empty(*device_, {n_, format_.crop, format_.crop, image_.channels}, format_.type);
  const std::int64_t* order = view.order.defined() ? view.order.data<std::int64_t>() : nullptr;
  const kernels::AugmentArgs args{
      .rows = n_,
      .height = image_.height,
      .width = image_.width,
      .channels = image_.channels,
      .crop_height = format_.crop,
      .crop_width = format_.crop,
      .out_channels = image_.channels,
      .source_type = image_.dtype,
      .out_type = format_.type,
      .images = pixels_,
      .source_row = order,
      .row_id = order,
      .seed = random.seed,
      .step = random.step,
      .view = view.number,
      .mode = view.mode,
      .rotation = view.rotation,
      .out = out.raw(),
  };
  device_->run([&](auto exec) { kernels::augment(args, exec); });
  return out;
}

}  // namespace swath
