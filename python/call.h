// One call from Python: finds the device of its arrays, checks them, runs kernels without the interpreter's lock, and hands
// results back. Every complaint is a ValueError that names the argument.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>
#include <string>
#include <vector>

#include "engine/device/device.h"

namespace swath::python {

namespace nb = nanobind;

/// A dimension of an argument: its size is given, or taken from the array (kAny).
constexpr std::int64_t kAny = -1;

class Call {
 public:
  /// `stream`: the CUDA stream, as an integer, on which the arguments are ready; without it the legacy default stream.
  explicit Call(std::optional<std::uintptr_t> stream) : stream_(stream) {}

  /// A float32 array of these sizes, dense, without a copy; every value finite.
  Tensor floats(const std::string& name, nb::handle value, const std::vector<std::int64_t>& sizes);
  /// As floats, with rows of unit length (to 1e-3).
  Tensor unit_rows(const std::string& name, nb::handle value, const std::vector<std::int64_t>& sizes);
  /// Integers as int32: without a copy when they are that; other integers of NumPy are converted when they fit.
  Tensor ints(const std::string& name, nb::handle value, const std::vector<std::int64_t>& sizes);
  /// Multi-hot rows (0 and 1 of any number type, or bool), as u64 masks of label_words(classes) words. Goes through the host.
  Tensor label_masks(const std::string& name, nb::handle value, std::int64_t rows, std::int64_t* classes);
  /// The masks on the host.
  std::vector<std::uint64_t> host_label_masks(const std::string& name, nb::handle value, std::int64_t rows,
                                              std::int64_t* classes);
  /// A float32 matrix on the host, finite; a CUDA array is copied.
  std::vector<float> host_floats(const std::string& name, nb::handle value, std::int64_t* rows, std::int64_t* cols);

  /// The device of the arguments so far.
  Device& device();
  Tensor empty(Shape shape, DType type = DType::f32) { return Tensor::empty(device(), shape, type); }
  template <class T>
  Tensor scalar(T value) {
    return Tensor::from_host(device(), {1}, std::vector<T>{value});
  }
  Tensor workspace(std::size_t bytes) { return empty({static_cast<std::int64_t>(bytes)}, DType::u8); }

  /// Calls f with the device's executor and waits for it, without the interpreter's lock.
  template <class F>
  void run(const F& f) {
    Device& on = device();
    const nb::gil_scoped_release release;
    on.run(f);
    on.synchronize();
  }

 private:
  nb::ndarray<nb::ro> array(const std::string& name, nb::handle value, const std::vector<std::int64_t>& sizes);
  void use_device_of(const std::string& name, const nb::ndarray<nb::ro>& array);
  void require_finite(const std::string& name, const Tensor& values);

  std::optional<std::uintptr_t> stream_;
  Device* device_ = nullptr;
  std::vector<nb::ndarray<nb::ro>> alive_;
};

/// A NumPy array (CPU) or an array with __dlpack__ (CUDA) that owns the tensor.
nb::object to_python(const Tensor& tensor);
/// A scalar of a device.
double to_number(const Tensor& scalar);

[[noreturn]] void refuse(const std::string& sentence);
void require_finite_number(const std::string& name, float value);
void require_positive(const std::string& name, float value);

/// A kernel with its workspace.
template <class Args, class Size, class Kernel>
void run_with_workspace(Call& call, Args& args, const Size& size, const Kernel& kernel) {
  const Tensor scratch = call.workspace(size(args));
  args.workspace = scratch.raw();
  call.run([&](auto exec) { kernel(args, exec); });
}

}  // namespace swath::python
