// The gradient of a convolution's weights where the library gives it in the activations' type: widened to float32, or added to
// what is there. A GPU and the dry run of one share it.
#pragma once
#include <memory>

#include "engine/core/storage.h"
#include "engine/device/backend.h"
#include "kernels/dry_run.h"
#include "kernels/elementwise.h"

namespace swath {

/// `convolve(to)` queues the library's own gradient, of the activations' type.
template <class Exec, class Convolve>
void weight_gradient(const ConvGeometry& geometry, float* dw, GradMode mode, const std::shared_ptr<StoragePool>& pool,
                     Exec exec, const Convolve& convolve) {
  if (mode == GradMode::skip) return;
  const std::int64_t count = geometry.weight_shape().numel();
  const bool accumulates = mode == GradMode::accumulate;
  if (geometry.dtype == DType::f32 && !accumulates) return convolve(dw);

  const std::size_t bytes = static_cast<std::size_t>(count) * kernels::size_of(geometry.dtype);
  const Storage gradient(pool, bytes, Tag::workspace);
  convolve(gradient.data());
  if (geometry.dtype == DType::f32) return kernels::add({.n = count, .a = dw, .b = gradient.data(), .out = dw}, exec);

  const kernels::CastArgs widen{.n = count, .from = geometry.dtype, .to = DType::f32, .x = gradient.data(), .out = dw};
  if (!accumulates) return kernels::cast(widen, exec);
  const Storage wide(pool, static_cast<std::size_t>(count) * sizeof(float), Tag::workspace);
  kernels::CastArgs to_scratch = widen;
  to_scratch.out = wide.data();
  kernels::cast(to_scratch, exec);
  kernels::add({.n = count, .a = dw, .b = wide.data(), .out = dw}, exec);
}

}  // namespace swath
