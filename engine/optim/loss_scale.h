// The scale of a loss whose gradients pass through float16, kept and changed on the device (kernels/loss_scale.h).
#pragma once
#include "engine/core/tensor.h"
#include "engine/io/checkpoint.h"
#include "engine/nn/parameter.h"
#include "kernels/loss_scale.h"

namespace swath {

class LossScale {
 public:
  explicit LossScale(Device& device);

  /// The gradient of a loss (f32 {1}) from which its backward pass starts: the scale.
  Tensor seed() const;
  /// After the backward pass: notes whether one of the block's gradients is NaN or infinite, and moves the scale on.
  void check(ParameterBlock& block);

  /// In device memory: what the gradients checked last are to be multiplied by.
  const float* inverse() const { return &state()->inverse; }
  /// In device memory; 0, or 1 where the update is to be skipped.
  const std::int32_t* found_inf() const { return &state()->found_inf; }
  /// In device memory: the number of the next update, from 1; those skipped do not count.
  const std::uint64_t* updates() const { return &state()->updates; }
  /// In device memory: the scale of the next step, and the number of steps skipped so far.
  const float* scale() const { return &state()->scale; }
  const std::int32_t* skipped_steps() const { return &state()->skipped_steps; }

  void visit_state(StateVisitor& visitor) { visitor.tensor("loss_scale", state_); }

 private:
  kernels::LossScaleState* state() const { return static_cast<kernels::LossScaleState*>(state_.raw()); }

  Tensor state_;  // u8, one LossScaleState
};

}  // namespace swath
