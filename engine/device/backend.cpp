#include "engine/device/backend.h"

#include "engine/core/error.h"

namespace swath {

namespace {

[[noreturn]] void refuse() {
  throw UserError("this device fuses no normalisation with its convolutions; set conv_pipeline=off");
}

}  // namespace

void Backend::conv_forward_normal(const ConvGeometry&, const Tensor&, const InputNorm&, const Tensor&, const Tensor&,
                                  const Tensor&) {
  refuse();
}

void Backend::conv_backward_data_masked(const ConvGeometry&, const Tensor&, const Tensor&, const OutputMask&, const Tensor&) {
  refuse();
}

void Backend::conv_backward_weight_normal(const ConvGeometry&, const Tensor&, const InputNorm&, const Tensor&, const Tensor&,
                                          GradMode) {
  refuse();
}

}  // namespace swath
