#include "engine/core/tensor.h"

#include "engine/device/device.h"

namespace swath {

Tensor Tensor::empty(Device& device, Shape shape, DType type, Tag tag) {
  Tensor t;
  t.device_ = &device;
  t.shape_ = shape;
  t.dtype_ = type;
  t.storage_ = std::make_shared<Storage>(device.pool(), t.bytes(), tag);
  return t;
}

Tensor Tensor::zeros(Device& device, Shape shape, DType type, Tag tag) {
  Tensor t = empty(device, shape, type, tag);
  t.fill_zero();
  return t;
}

Tensor Tensor::borrow(Device& device, Shape shape, DType type, void* data) {
  Tensor t;
  t.device_ = &device;
  t.shape_ = shape;
  t.dtype_ = type;
  t.storage_ = std::make_shared<Storage>(data, t.bytes());
  return t;
}

void* Tensor::raw() const { return static_cast<std::byte*>(storage_->data()) + offset_; }

Tensor Tensor::view(Shape shape) const {
  SWATH_CHECK(shape.numel() == numel(), "{} seen as {}", shape_.str(), shape.str());
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  SWATH_CHECK(shape_.rank() > 0 && 0 <= begin && begin <= end && end <= size(0), "rows {} to {} of {}", begin, end,
              shape_.str());
  std::int64_t extents[Shape::kMaxRank] = {end - begin};
  std::int64_t row = 1;
  for (int i = 1; i < shape_.rank(); ++i) row *= extents[i] = shape_[i];
  Tensor t = *this;
  t.shape_ = Shape::of(extents, shape_.rank());
  t.offset_ += static_cast<std::size_t>(begin * row) * kernels::size_of(dtype_);
  return t;
}

Tensor Tensor::clone(Tag tag) const {
  Tensor t = empty(*device_, shape_, dtype_, tag);
  t.copy_from(*this);
  return t;
}

void Tensor::fill_zero() const {
  if (bytes()) device_->backend().fill_zero(raw(), bytes());
}

void Tensor::copy_from(const Tensor& source) const {
  SWATH_CHECK(source.dtype_ == dtype_ && source.numel() == numel() && source.device_ == device_);
  if (bytes()) device_->backend().copy(raw(), source.raw(), bytes());
}

void Tensor::copy_from_host(const void* values) const {
  if (bytes()) device_->backend().copy_from_host(raw(), values, bytes());
}

void Tensor::copy_to_host(void* values) const {
  if (bytes()) device_->backend().copy_to_host(values, raw(), bytes());
}

}  // namespace swath
