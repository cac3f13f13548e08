// Dense row-major array on a device: shared storage, offset, shape, element type. Copies share the memory.
#pragma once
#include <memory>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/shape.h"
#include "engine/core/storage.h"
#include "kernels/exec.h"
#include "kernels/half.h"

namespace swath {

using kernels::DType;
using kernels::GradMode;

class Device;

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<kernels::bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<kernels::f16> {
  static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<std::uint16_t> {
  static constexpr DType value = DType::u16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::uint32_t> {
  static constexpr DType value = DType::u32;
};
template <>
struct DTypeOf<std::uint64_t> {
  static constexpr DType value = DType::u64;
};

class Tensor {
 public:
  /// An absent tensor; only `defined()` may be asked of it.
  Tensor() = default;

  /// Uninitialised memory.
  static Tensor empty(Device& device, Shape shape, DType type = DType::f32, Tag tag = Tag::activations);
  static Tensor zeros(Device& device, Shape shape, DType type = DType::f32, Tag tag = Tag::activations);
  /// Uninitialised bytes that a kernel works in.
  static Tensor workspace(Device& device, std::size_t bytes) {
    return empty(device, {static_cast<std::int64_t>(bytes)}, DType::u8, Tag::workspace);
  }
  /// On memory of the caller's on this device, aligned to its elements, which must outlive every copy of the tensor.
  static Tensor borrow(Device& device, Shape shape, DType type, void* data);
  /// Copies shape.numel() elements from host memory.
  template <class T>
  static Tensor from_host(Device& device, Shape shape, const T* values, Tag tag = Tag::activations) {
    Tensor t = empty(device, shape, DTypeOf<T>::value, tag);
    t.copy_from_host(values);
    return t;
  }
  template <class T>
  static Tensor from_host(Device& device, Shape shape, const std::vector<T>& values, Tag tag = Tag::activations) {
    SWATH_CHECK(static_cast<std::int64_t>(values.size()) == shape.numel(), "{} values for {}", values.size(), shape.str());
    return from_host(device, shape, values.data(), tag);
  }

  bool defined() const { return storage_ != nullptr; }
  Device& device() const { return *device_; }
  const Shape& shape() const { return shape_; }
  std::int64_t size(int dimension) const { return shape_[dimension]; }
  std::int64_t numel() const { return shape_.numel(); }
  DType dtype() const { return dtype_; }
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * kernels::size_of(dtype_); }

  /// Device pointer to the first element; throws InternalError when T is not the element type.
  template <class T>
  T* data() const {
    SWATH_CHECK(defined() && dtype_ == DTypeOf<T>::value, "tensor holds {}", defined() ? kernels::name_of(dtype_) : "nothing");
    return static_cast<T*>(raw());
  }
  void* raw() const;

  /// The same elements in another shape of equal size.
  Tensor view(Shape shape) const;
  /// Rows [begin, end) of the first dimension, sharing memory.
  Tensor rows(std::int64_t begin, std::int64_t end) const;
  Tensor clone(Tag tag = Tag::activations) const;
  void fill_zero() const;
  void copy_from(const Tensor& source) const;

  /// Blocking copies between host and device.
  void copy_from_host(const void* values) const;
  void copy_to_host(void* values) const;
  template <class T>
  std::vector<T> to_host() const {
    std::vector<T> values(static_cast<std::size_t>(numel()));
    if (numel()) {
      data<T>();
      copy_to_host(values.data());
    }
    return values;
  }

 private:
  friend class Device;
  std::shared_ptr<Storage> storage_;
  Device* device_ = nullptr;
  std::size_t offset_ = 0;  // bytes
  Shape shape_;
  DType dtype_ = DType::f32;
};

}  // namespace swath
