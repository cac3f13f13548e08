#include "recipes/batch_views.h"

#include "engine/autograd/rank_ops.h"

namespace swath {

BatchViews::BatchViews(Device& device, const ImageSpec& image, const void* pixels, std::int64_t n, ViewFormat format)
    : image_(image), format_(format) {
  const Shape shape{n, image.height, image.width, image.channels};
  if (device.kind() == DeviceKind::cpu) {
    source_ = Tensor::borrow(device, shape, image.dtype, const_cast<void*>(pixels));
    return;
  }
  source_ = Tensor::empty(device, shape, image.dtype, Tag::input);
  source_.copy_from_host(pixels);
}

BatchViews::BatchViews(const ImageSpec& image, const Tensor& pixels, ViewFormat format)
    : image_(image), source_(pixels), format_(format) {}

BatchViews BatchViews::of_all_ranks(const Tape& tape) const {
  const Tensor whole = gather_ranks(tape, source_);
  return {image_, whole.view({whole.size(0), image_.height, image_.width, image_.channels}), format_};
}

Tensor BatchViews::make(const ViewOptions& view, RandomKey random) const {
  SWATH_CHECK(view.rotation == AugmentRotation::none || image_.height == image_.width, "a rotated view of {}×{} images",
              image_.height, image_.width);
  const std::int64_t rows = view.order.defined() ? view.order.numel() : source_.size(0);
  const std::int64_t channels = source_.device().backend().conv_channels(format_.type, image_.channels);
  const Tensor out = Tensor::empty(source_.device(), {rows, format_.crop, format_.crop, channels}, format_.type);
  const std::int64_t* order = view.order.defined() ? view.order.data<std::int64_t>() : nullptr;
  const kernels::AugmentArgs args{
      .rows = rows,
      .height = image_.height,
      .width = image_.width,
      .channels = image_.channels,
      .crop_height = format_.crop,
      .crop_width = format_.crop,
      .out_channels = channels,
      .source_type = image_.dtype,
      .out_type = format_.type,
      .images = source_.raw(),
      .source_row = order,
      .row_id = order,
      .row_offset = random.first_row,
      .seed = random.seed,
      .step = random.step,
      .view = view.number,
      .mode = view.mode,
      .rotation = view.rotation,
      .out = out.raw(),
  };
  source_.device().run([&](auto exec) { kernels::augment(args, exec); });
  return out;
}

}  // namespace swath
