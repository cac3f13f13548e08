// How an optimiser on the CPU reads the gradients of a stretch.
#pragma once
#include "kernels/dispatch.h"
#include "kernels/stretch.h"

namespace swath::kernels {

/// body(grad), where grad(i) is gradient i as float32, times the factor unless that is null.
template <class Body>
void with_grad(const UpdateStretch& stretch, const float* factor, const Body& body) {
  with_element(stretch.grad_type, [&](auto element) {
    const auto* grad = typed<decltype(element)>(stretch.grad);
    if (!factor) return body([grad](std::int64_t i) { return to_float(grad[i]); });
    body([grad, times = *factor](std::int64_t i) { return to_float(grad[i]) * times; });
  });
}

}  // namespace swath::kernels
