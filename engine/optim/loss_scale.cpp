#include "engine/optim/loss_scale.h"

#include <cstring>

namespace swath {

LossScale::LossScale(Device& device) {
  const kernels::LossScaleState first;
  std::vector<std::uint8_t> bytes(sizeof first);
  std::memcpy(bytes.data(), &first, sizeof first);
  state_ = Tensor::from_host(device, {static_cast<std::int64_t>(sizeof first)}, bytes, Tag::other);
}

Tensor LossScale::seed() const {
  const Tensor made = Tensor::empty(state_.device(), {1});
  state_.device().backend().copy(made.raw(), scale(), sizeof(float));
  return made;
}

void LossScale::unscale(const ParameterBlock& block) {
  Device& device = state_.device();
  const kernels::LossScaleArgs args{.n = block.grads().numel(),
                                    .grad = block.grads().data<float>(),
                                    .state = state(),
                                    .counters = device.counters(kernels::loss_scale_counters())};
  device.run([&](auto exec) { kernels::loss_scale(args, exec); });
}

}  // namespace swath
