// Standardised crops of a batch of source images: the training view, the evaluation view, a rotated one (methods.md §1).
#pragma once
#include "data/dataset.h"
#include "engine/autograd/nn_ops.h"
#include "kernels/augment.h"

namespace swath {

using kernels::AugmentMode;
using kernels::AugmentRotation;

struct ViewFormat {
  std::int64_t crop = 0;    // side
  DType type = DType::f32;  // f32, bf16 or f16
};

struct ViewOptions {
  AugmentMode mode = AugmentMode::train;
  AugmentRotation rotation = AugmentRotation::none;  // random_quarter needs square images
  std::uint32_t number = 0;                          // views of one image in one step with different numbers have other draws
  Tensor order = {};  // i64 {R}: image `order[r]` becomes row r, with its own draws; absent: as they are
};

class BatchViews {
 public:
  BatchViews() = default;
  /// `pixels`: n × height × width × channels source integers in host memory, which stay valid as long as views are made. A CUDA
  /// device gets one copy; kernels on the CPU read them in place.
  BatchViews(Device& device, const ImageSpec& image, const void* pixels, std::int64_t n, ViewFormat format);
  /// Of source integers on the device: n × height × width × channels.
  BatchViews(const ImageSpec& image, const Tensor& pixels, ViewFormat format);

  /// Of the images of all ranks that share the tape's batch.
  BatchViews of_all_ranks(const Tape& tape) const;

  /// A row for each image, or for each of `order`: N×crop×crop×C, with zero channels behind where the device's convolutions
  /// want them (Backend::conv_channels).
  Tensor make(const ViewOptions& view, RandomKey random) const;

 private:
  ImageSpec image_;
  Tensor source_;
  ViewFormat format_;
};

}  // namespace swath
