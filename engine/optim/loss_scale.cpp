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

// Gradients of frozen parameters are zero and part of their neighbours' range.
void LossScale::check(ParameterBlock& block) {
  Device& device = state_.device();
  kernels::LossScaleArgs args{.count = 0, .state = state(), .counters = device.counters(kernels::loss_scale_counters())};
  const Tensor* grads = nullptr;
  for (const Parameter* parameter : block.in_order()) {
    if (&block.grads_of(*parameter) != grads) {
      grads = &block.grads_of(*parameter);
      const Tensor from = grads->rows(parameter->place.begin, grads->numel());
      args.parts.at(static_cast<std::size_t>(args.count++)) = {.grad = from.raw(), .n = 0, .type = from.dtype()};
    }
    args.parts[static_cast<std::size_t>(args.count - 1)].n += parameter->place.size();
  }
  device.run([&](auto exec) { kernels::loss_scale(args, exec); });
}

}  // namespace swath
