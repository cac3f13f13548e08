#include "losses/margin.h"

#include "engine/nn/init.h"
#include "kernels/margin_loss.h"
#include "losses/record_loss.h"

namespace swath {

MarginLoss::MarginLoss(ParameterBlock& block, const MarginOptions& options, std::int64_t classes, const std::string& name)
    : options_(options) {
  beta_ =
      &block.declare(name + ".beta", {options.class_specific ? classes : 1}, ParameterGroup::beta, constant_init(options.beta));
  if (!options.beta_trainable) beta_->trainable = Trainable::no;
}

LossOutput MarginLoss::forward(Tape& tape, const LossInput& input) {
  Device& device = tape.device();
  const Tensor& rows = input.rows.value();
  const std::int64_t cols = rows.size(1), classes = beta_->shape[0];
  const Tensor loss = Tensor::empty(device, {1}), active = Tensor::empty(device, {1});
  const Tensor d_rows = Tensor::empty(device, rows.shape()), d_beta = Tensor::empty(device, {classes});
  kernels::MarginLossArgs args{
      .x = rows.data<float>(),
      .row_class = options_.class_specific ? input.row_class.data<std::int32_t>() : nullptr,
      .triplets = input.triplets.indices.data<std::int32_t>(),
      .triplet_count = input.triplets.count.data<std::int32_t>(),
      .beta = beta_->value.data<float>(),
      .loss = loss.data<float>(),
      .active = active.data<float>(),
      .d_x = d_rows.data<float>(),
      .d_beta = d_beta.data<float>(),
      .rows = rows.size(0),
      .cols = cols,
      .x_ld = cols,
      .d_x_ld = cols,
      .capacity = input.triplets.indices.size(0),
      .classes = classes,
      .margin = options_.margin,
      .nu = options_.nu,
      .beta_kind = options_.class_specific ? kernels::MarginBeta::per_class : kernels::MarginBeta::scalar,
      .beta_update = options_.beta_trainable ? kernels::MarginBetaUpdate::trained : kernels::MarginBetaUpdate::fixed,
  };
  const Tensor scratch = Tensor::workspace(device, kernels::margin_loss_workspace(args));
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::margin_loss(args, exec); });

  const Var value = record_loss(tape, "margin", loss, {{input.rows, d_rows}}, {{beta_, d_beta}});
  return {value, active};
}

}  // namespace swath
