#include "losses/bce.h"

#include "engine/autograd/nn_ops.h"
#include "engine/nn/init.h"
#include "kernels/bce_loss.h"
#include "losses/record_loss.h"

namespace swath {

BceLoss::BceLoss(ParameterBlock& block, std::int64_t width, std::int64_t classes, std::uint64_t seed, const std::string& name)
    : classes_(classes) {
  const auto declare = [&](const char* part, Shape shape) {
    const std::string full = name + part;
    return &block.declare(full, shape, ParameterGroup::regressor, linear_init(seed, name_hash(full), width));
  };
  weight_ = declare(".weight", {classes, width});
  bias_ = declare(".bias", {classes});
}

LossOutput BceLoss::forward(Tape& tape, const LossInput& input) {
  const Var logits = linear(tape, input.rows, *weight_, *bias_);
  const Tensor loss = Tensor::empty(tape.device(), {1}), d_logits = Tensor::empty(tape.device(), logits.shape());
  kernels::BceLossArgs args{.logits = logits.value().data<float>(),
                            .labels = input.labels.data<std::uint64_t>(),
                            .loss = loss.data<float>(),
                            .d_logits = d_logits.data<float>(),
                            .rows = logits.shape()[0],
                            .classes = classes_,
                            .words = input.labels.size(1)};
  const Tensor scratch = Tensor::workspace(tape.device(), kernels::bce_loss_workspace(args));
  args.workspace = scratch.raw();
  tape.device().run([&](auto exec) { kernels::bce_loss(args, exec); });
  return {record_loss(tape, "bce", loss, {{logits, d_logits}}), {}};
}

}  // namespace swath
