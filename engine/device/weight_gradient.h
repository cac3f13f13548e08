// Where the gradient of a convolution's weights goes, which the library gives in the activations' type. A GPU and the dry run
// of one share it.
#pragma once
#include <memory>

#include "engine/core/storage.h"
#include "engine/device/backend.h"
#include "kernels/dry_run.h"
#include "kernels/elementwise.h"

namespace swath {

/// `convolve(to)` queues the library's own gradient, of type `type`. It goes to dw, converted where dw is float32, or is added
/// to what is there.
template <class Exec, class Convolve>
void weight_gradient(DType type, const Tensor& dw, GradMode mode, const std::shared_ptr<StoragePool>& pool, Exec exec,
                     const Convolve& convolve) {
  if (mode == GradMode::skip) return;
  const bool accumulates = mode == GradMode::accumulate;
  if (type == dw.dtype() && !accumulates) return convolve(dw.raw());

  const std::int64_t count = dw.numel();
  const auto scratch = [&](DType of) {
    return Storage(pool, static_cast<std::size_t>(count) * kernels::size_of(of), Tag::workspace);
  };
  const Storage gradient = scratch(type);
  convolve(gradient.data());
  const auto add = [&](void* gradient_of_dw) {
    kernels::add({.n = count, .dtype = dw.dtype(), .a = dw.raw(), .b = gradient_of_dw, .out = dw.raw()}, exec);
  };
  if (type == dw.dtype()) return add(gradient.data());

  kernels::CastArgs widen{.n = count, .from = type, .to = dw.dtype(), .x = gradient.data(), .out = dw.raw()};
  if (!accumulates) return kernels::cast(widen, exec);
  const Storage wide = scratch(dw.dtype());
  widen.out = wide.data();
  kernels::cast(widen, exec);
  add(wide.data());
}

}  // namespace swath
