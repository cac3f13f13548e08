#include "losses/binomial.h"

#include <algorithm>
#include <numeric>

#include "engine/nn/init.h"
#include "kernels/binomial_loss.h"
#include "losses/record_loss.h"

namespace swath {

BinomialLoss::BinomialLoss(ParameterBlock& block, const std::vector<std::int64_t>& widths, const BinomialOptions& options,
                           const std::string& name)
    : options_(options), widths_(widths) {
  if (widths.empty() || static_cast<std::int64_t>(widths.size()) > kernels::kMaxLearners)
    throw UserError(fmt::format("the binomial deviance takes 1 to {} learners, not {}; change the number of heads",
                                kernels::kMaxLearners, widths.size()));
  for (const std::int64_t width : widths) {
    if (width < 1) throw UserError(fmt::format("{}: a learner's width must be at least 1, not {}", name, width));
  }
  beta_ = &block.declare(name + ".beta", {1}, ParameterGroup::beta, constant_init(options.beta));
  if (!options.beta_trainable) beta_->trainable = Trainable::no;
}

LossOutput BinomialLoss::forward(Tape& tape, const LossInput& input) {
  Device& device = tape.device();
  const Tensor& rows = input.rows.value();
  const std::int64_t cols = rows.size(1);
  SWATH_CHECK(std::accumulate(widths_.begin(), widths_.end(), std::int64_t{0}) == cols, "learners of other widths than {}",
              rows.shape().str());
  const Tensor loss = Tensor::empty(device, {1}), d_rows = Tensor::empty(device, rows.shape());
  const Tensor d_beta = Tensor::empty(device, {1});
  const bool trained = options_.beta_trainable;
  kernels::BinomialLossArgs args{
      .x = rows.data<float>(),
      .row_class = input.row_class.data<std::int32_t>(),
      .row_count = input.row_count.data<std::int32_t>(),
      .beta = beta_->value.data<float>(),
      .loss = loss.data<float>(),
      .d_x = d_rows.data<float>(),
      .d_beta = d_beta.data<float>(),
      .learners = static_cast<std::int64_t>(widths_.size()),
      .rows = rows.size(0),
      .x_ld = cols,
      .d_x_ld = cols,
      .alpha = options_.alpha,
      .cost = options_.cost,
      .nu = options_.nu,
      .boosting = options_.eta_style ? kernels::Boosting::eta : kernels::Boosting::additive,
      .beta_update = trained ? kernels::BinomialBetaUpdate::trained : kernels::BinomialBetaUpdate::fixed,
  };
  std::copy(widths_.begin(), widths_.end(), args.widths);
  const Tensor scratch = Tensor::workspace(device, kernels::binomial_loss_workspace(args));
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::binomial_loss(args, exec); });
  return {record_loss(tape, "binomial", loss, {{input.rows, d_rows}}, {{beta_, d_beta}}), {}};
}

}  // namespace swath
