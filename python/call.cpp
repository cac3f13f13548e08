#include "python/call.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <map>
#include <memory>

#include "kernels/label_mask.h"
#include "kernels/nonfinite.h"
#include "kernels/row_normalize.h"

namespace swath::python {

namespace {

/// Devices of the calling thread by place and stream: a device serves one thread at a time.
Device& device_at(int type, int id, std::uintptr_t stream) {
  thread_local std::map<std::tuple<int, int, std::uintptr_t>, std::unique_ptr<Device>> devices;
  auto& device = devices[{type, id, stream}];
  if (!device) {
    const bool cpu = type == nb::device::cpu::value;
    DeviceOptions options;
    options.stream = reinterpret_cast<void*>(stream);
    device = Device::open(cpu ? "cpu" : fmt::format("cuda:{}", id), options);
  }
  return *device;
}

std::string sizes_text(const std::vector<std::int64_t>& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += (text.empty() ? "" : ", ") + (size == kAny ? "any" : std::to_string(size));
  return "(" + text + ")";
}

std::string shape_text(const nb::ndarray<nb::ro>& array) {
  std::vector<std::int64_t> sizes;
  for (std::size_t i = 0; i < array.ndim(); ++i) sizes.push_back(static_cast<std::int64_t>(array.shape(i)));
  return sizes_text(sizes);
}

bool is_dense(const nb::ndarray<nb::ro>& array) {
  if (array.size() == 0) return true;
  std::int64_t step = 1;
  for (std::size_t i = array.ndim(); i-- > 0;) {
    if (array.shape(i) > 1 && array.stride(i) != step) return false;
    step *= static_cast<std::int64_t>(array.shape(i));
  }
  return true;
}

Shape shape_of(const nb::ndarray<nb::ro>& array) {
  std::int64_t extents[Shape::kMaxRank] = {};
  for (std::size_t i = 0; i < array.ndim(); ++i) extents[i] = static_cast<std::int64_t>(array.shape(i));
  return Shape::of(extents, static_cast<int>(array.ndim()));
}

std::size_t byte_count(const nb::ndarray<nb::ro>& array) { return array.size() * array.itemsize(); }

/// Calls f(i, value as double) for the elements of a dense host array of bool, integers or floats.
template <class F>
void for_each_number(const std::string& name, const nb::ndarray<nb::ro>& array, const void* data, const F& f) {
  const auto visit = [&]<class T>(const T* values) {
    for (std::size_t i = 0; i < array.size(); ++i) f(i, static_cast<double>(values[i]));
  };
  const nb::dlpack::dtype type = array.dtype();
  if (type == nb::dtype<bool>() || type == nb::dtype<std::uint8_t>()) return visit(static_cast<const std::uint8_t*>(data));
  if (type == nb::dtype<std::int8_t>()) return visit(static_cast<const std::int8_t*>(data));
  if (type == nb::dtype<std::int16_t>()) return visit(static_cast<const std::int16_t*>(data));
  if (type == nb::dtype<std::uint16_t>()) return visit(static_cast<const std::uint16_t*>(data));
  if (type == nb::dtype<std::int32_t>()) return visit(static_cast<const std::int32_t*>(data));
  if (type == nb::dtype<std::uint32_t>()) return visit(static_cast<const std::uint32_t*>(data));
  if (type == nb::dtype<std::int64_t>()) return visit(static_cast<const std::int64_t*>(data));
  if (type == nb::dtype<std::uint64_t>()) return visit(static_cast<const std::uint64_t*>(data));
  if (type == nb::dtype<float>()) return visit(static_cast<const float*>(data));
  if (type == nb::dtype<double>()) return visit(static_cast<const double*>(data));
  refuse(fmt::format("{} holds elements of a type that is no bool, integer, float32 or float64", name));
}

}  // namespace

void refuse(const std::string& sentence) { throw nb::value_error(sentence.c_str()); }

void require_finite_number(const std::string& name, float value) {
  if (!std::isfinite(value)) refuse(fmt::format("{} is {}, where a finite number is needed", name, value));
}

void require_positive(const std::string& name, float value) {
  if (!(value > 0) || !std::isfinite(value)) refuse(fmt::format("{} is {:g}, where a positive number is needed", name, value));
}

Device& Call::device() {
  if (!device_) device_ = &device_at(nb::device::cpu::value, 0, 0);
  return *device_;
}

void Call::use_device_of(const std::string& name, const nb::ndarray<nb::ro>& array) {
  const int type = array.device_type();
  if (type != nb::device::cpu::value && type != nb::device::cuda::value)
    refuse(fmt::format("{} lies on a device that is neither the CPU nor a CUDA device", name));
  // 1 is CUDA's handle of the legacy default stream.
  const std::uintptr_t stream = type == nb::device::cpu::value ? 0 : (stream_.value_or(0) ? *stream_ : 1);
  Device& found = device_at(type, array.device_id(), stream);
  if (device_ && device_ != &found)
    refuse(fmt::format("{} lies on {}, but the arguments before it on {}; bring all arrays to one device", name, found.name(),
                       device_->name()));
  device_ = &found;
}

nb::ndarray<nb::ro> Call::array(const std::string& name, nb::handle value, const std::vector<std::int64_t>& sizes) {
  nb::ndarray<nb::ro> array;
  // A tensor of PyTorch that is part of a graph: its gradient would be lost in silence.
  if (nb::getattr(value, "requires_grad", nb::none()).is(nb::bool_(true)))
    refuse(fmt::format("{} requires a gradient, which cannot pass through here; pass {}.detach() and use the gradient returned",
                       name, name));
  if (!nb::try_cast(value, array)) refuse(fmt::format("{} must be an array: NumPy's, or one with __dlpack__", name));
  bool fits = array.ndim() == sizes.size();
  for (std::size_t i = 0; fits && i < sizes.size(); ++i)
    fits = sizes[i] == kAny || static_cast<std::int64_t>(array.shape(i)) == sizes[i];
  if (!fits) refuse(fmt::format("{} has the shape {}, where {} is needed", name, shape_text(array), sizes_text(sizes)));
  if (!is_dense(array)) refuse(fmt::format("{} is not C-contiguous; pass numpy.ascontiguousarray({})", name, name));
  use_device_of(name, array);
  alive_.push_back(array);
  return array;
}

void Call::require_finite(const std::string& name, const Tensor& values) {
  const Tensor count = Tensor::zeros(device(), {1}, DType::i32);
  const kernels::NonfiniteArgs args{.n = values.numel(), .x = values.raw(), .count = count.data<std::int32_t>()};
  run([&](auto exec) { kernels::nonfinite(args, exec); });
  if (const std::int32_t bad = count.to_host<std::int32_t>()[0]; bad > 0)
    refuse(fmt::format("{} holds {} values that are NaN or infinite", name, bad));
}

Tensor Call::floats(const std::string& name, nb::handle value, const std::vector<std::int64_t>& sizes) {
  const nb::ndarray<nb::ro> found = array(name, value, sizes);
  if (found.dtype() != nb::dtype<float>())
    refuse(fmt::format("{} must hold float32; pass {}.astype(numpy.float32)", name, name));
  const Tensor tensor = Tensor::borrow(device(), shape_of(found), DType::f32, const_cast<void*>(found.data()));
  require_finite(name, tensor);
  return tensor;
}

Tensor Call::unit_rows(const std::string& name, nb::handle value, const std::vector<std::int64_t>& sizes) {
  const Tensor rows = floats(name, value, sizes);
  const std::int64_t n = rows.size(0), cols = rows.size(1);
  const Tensor scratch = empty({n, cols}), inverse = empty({n});
  const kernels::RowNormalizeArgs args{.x = rows.data<float>(),
                                       .y = scratch.data<float>(),
                                       .inv_norm = inverse.data<float>(),
                                       .rows = n,
                                       .cols = cols,
                                       .x_ld = cols,
                                       .y_ld = cols};
  run([&](auto exec) { kernels::row_normalize(args, exec); });
  const std::vector<float> inverses = inverse.to_host<float>();
  for (std::size_t i = 0; i < inverses.size(); ++i) {
    if (!(std::abs(inverses[i] - 1.0f) < 1e-3f))
      refuse(fmt::format("row {} of {} has the length {:g}, where unit rows are needed; divide each row by its length", i, name,
                         1.0f / inverses[i]));
  }
  return rows;
}

Tensor Call::ints(const std::string& name, nb::handle value, const std::vector<std::int64_t>& sizes) {
  const nb::ndarray<nb::ro> found = array(name, value, sizes);
  if (found.dtype() == nb::dtype<std::int32_t>())
    return Tensor::borrow(device(), shape_of(found), DType::i32, const_cast<void*>(found.data()));
  const auto code = static_cast<nb::dlpack::dtype_code>(found.dtype().code);
  if (code != nb::dlpack::dtype_code::Int && code != nb::dlpack::dtype_code::UInt)
    refuse(fmt::format("{} must hold integers", name));
  if (device().is_cuda()) refuse(fmt::format("{} must hold int32 on a CUDA device", name));
  std::vector<std::int32_t> values(found.size());
  for_each_number(name, found, found.data(), [&](std::size_t i, double v) {
    if (v < std::numeric_limits<std::int32_t>::min() || v > std::numeric_limits<std::int32_t>::max())
      refuse(fmt::format("{} holds {:.0f}, which is no int32", name, v));
    values[i] = static_cast<std::int32_t>(v);
  });
  return Tensor::from_host(device(), shape_of(found), values);
}

std::vector<std::uint64_t> Call::host_label_masks(const std::string& name, nb::handle value, std::int64_t rows,
                                                  std::int64_t* classes) {
  const nb::ndarray<nb::ro> found = array(name, value, {rows, kAny});
  *classes = static_cast<std::int64_t>(found.shape(1));
  if (*classes < 1 || *classes > 256) refuse(fmt::format("{} has {} classes, where 1 to 256 are needed", name, *classes));
  std::vector<std::uint8_t> host;
  const void* data = found.data();
  if (device().is_cuda()) {
    host.resize(byte_count(found));
    device().backend().copy_to_host(host.data(), found.data(), host.size());
    data = host.data();
  }
  const std::int64_t words = kernels::label_words(*classes);
  std::vector<std::uint64_t> masks(found.shape(0) * static_cast<std::size_t>(words));
  for_each_number(name, found, data, [&](std::size_t i, double v) {
    if (v != 0.0 && v != 1.0) refuse(fmt::format("{} holds {:g}, where multi-hot rows of 0 and 1 are needed", name, v));
    const auto row = static_cast<std::int64_t>(i) / *classes, c = static_cast<std::int64_t>(i) % *classes;
    if (v == 1.0) masks[static_cast<std::size_t>(row * words + c / 64)] |= std::uint64_t{1} << (c % 64);
  });
  return masks;
}

Tensor Call::label_masks(const std::string& name, nb::handle value, std::int64_t rows, std::int64_t* classes) {
  const std::vector<std::uint64_t> masks = host_label_masks(name, value, rows, classes);
  const std::int64_t words = kernels::label_words(*classes);
  return Tensor::from_host(device(), {static_cast<std::int64_t>(masks.size()) / words, words}, masks);
}

std::vector<float> Call::host_floats(const std::string& name, nb::handle value, std::int64_t* rows, std::int64_t* cols) {
  const Tensor tensor = floats(name, value, {kAny, kAny});
  *rows = tensor.size(0);
  *cols = tensor.size(1);
  return tensor.to_host<float>();
}

namespace {

nb::dlpack::dtype dlpack_type(DType type) {
  switch (type) {
    case DType::f32:
      return nb::dtype<float>();
    case DType::i32:
      return nb::dtype<std::int32_t>();
    case DType::u16:
      return nb::dtype<std::uint16_t>();
    case DType::u64:
      return nb::dtype<std::uint64_t>();
    default:
      throw InternalError(fmt::format("{} is no type of a result", kernels::name_of(type)));
  }
}

}  // namespace

nb::object to_python(const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  std::size_t sizes[Shape::kMaxRank] = {};
  for (int i = 0; i < shape.rank(); ++i) sizes[i] = static_cast<std::size_t>(shape[i]);
  auto owned = std::make_unique<Tensor>(tensor);
  void* data = owned->raw();
  const nb::capsule owner(owned.get(), [](void* p) noexcept { delete static_cast<Tensor*>(p); });
  owned.release();
  const auto rank = static_cast<std::size_t>(shape.rank());
  if (!tensor.device().is_cuda()) {
    return nb::cast(nb::ndarray<nb::numpy>(data, rank, sizes, owner, nullptr, dlpack_type(tensor.dtype())));
  }
  const std::string& name = tensor.device().name();
  const int id = std::stoi(name.substr(name.find(':') + 1));
  // Without nb::array_api a bare capsule would come out, which is no array and no argument of another function.
  return nb::cast(
      nb::ndarray<nb::array_api>(data, rank, sizes, owner, nullptr, dlpack_type(tensor.dtype()), nb::device::cuda::value, id));
}

double to_number(const Tensor& scalar) { return static_cast<double>(scalar.to_host<float>()[0]); }

}  // namespace swath::python
