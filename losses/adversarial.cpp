#include "losses/adversarial.h"

#include "engine/autograd/nn_ops.h"
#include "engine/autograd/row_ops.h"
#include "engine/nn/init.h"
#include "kernels/adversarial_loss.h"
#include "losses/record_loss.h"

namespace swath {

AdversarialLoss::AdversarialLoss(ParameterBlock& block, const std::vector<std::int64_t>& widths,
                                 const std::vector<AdversarialDirection>& directions, std::int64_t hidden, std::uint64_t seed,
                                 const std::string& name)
    : widths_(widths), directions_(directions) {
  const auto parts = static_cast<std::int64_t>(widths.size());
  if (directions.empty()) throw UserError(fmt::format("{} needs at least one direction between two parts", name));
  for (const AdversarialDirection& d : directions) {
    if (d.source < 0 || d.source >= parts || d.target < 0 || d.target >= parts || d.source == d.target)
      throw UserError(fmt::format("{} has a direction {} to {}, but the parts are 0 to {} and a direction joins two of them",
                                  name, d.source, d.target, parts - 1));
    const std::string stem = fmt::format("{}.{}_{}", name, d.source, d.target);
    const std::int64_t in = widths[static_cast<std::size_t>(d.source)], out = widths[static_cast<std::size_t>(d.target)];
    const auto declare = [&](const char* part, Shape shape, std::int64_t fan_in) {
      const std::string full = stem + part;
      return &block.declare(full, shape, ParameterGroup::regressor, linear_init(seed, name_hash(full), fan_in));
    };
    regressors_.push_back({.w1 = declare(".w1", {hidden, in}, in),
                           .b1 = declare(".b1", {hidden}, in),
                           .w2 = declare(".w2", {out, hidden}, hidden),
                           .b2 = declare(".b2", {out}, hidden)});
  }
}

Var AdversarialLoss::direction_loss(Tape& tape, const std::vector<Var>& parts, std::size_t direction,
                                    const Tensor& row_count) const {
  const AdversarialDirection& d = directions_[direction];
  const Regressor& g = regressors_[direction];
  const Var hidden = relu(tape, linear(tape, parts[static_cast<std::size_t>(d.source)], *g.w1, *g.b1));
  const Var prediction = linear(tape, hidden, *g.w2, *g.b2);
  const Var& target = parts[static_cast<std::size_t>(d.target)];
  Device& device = tape.device();
  const Tensor loss = Tensor::empty(device, {1});
  const Tensor d_target = Tensor::empty(device, target.shape()), d_prediction = Tensor::empty(device, target.shape());
  kernels::AdversarialLossArgs args{.target = target.value().data<float>(),
                                    .prediction = prediction.value().data<float>(),
                                    .row_count = row_count.defined() ? row_count.data<std::int32_t>() : nullptr,
                                    .loss = loss.data<float>(),
                                    .d_target = d_target.data<float>(),
                                    .d_prediction = d_prediction.data<float>(),
                                    .rows = target.shape()[0],
                                    .cols = target.shape()[1],
                                    .target_ld = target.shape()[1],
                                    .d_target_ld = target.shape()[1],
                                    .weight = d.weight};
  const Tensor scratch = Tensor::workspace(device, kernels::adversarial_loss_workspace(args));
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::adversarial_loss(args, exec); });
  return record_loss(tape, "adversarial", loss, {{target, d_target}, {prediction, d_prediction}});
}

LossOutput AdversarialLoss::forward(Tape& tape, const LossInput& input) {
  // Reversed once for all directions: whatever a regressor asks of a part, the embedding is moved the other way.
  const Var reversed = reverse_gradient(tape, input.rows);
  std::vector<Var> parts;
  std::int64_t begin = 0;
  for (const std::int64_t width : widths_) {
    parts.push_back(normalize_rows(tape, slice_columns(tape, reversed, begin, width)));
    begin += width;
  }
  if (begin != input.rows.shape()[1])
    throw UserError(fmt::format("the parts of the adversarial loss have {} columns together, its rows have {}", begin,
                                input.rows.shape()[1]));
  Var loss = direction_loss(tape, parts, 0, input.row_count);
  for (std::size_t i = 1; i < directions_.size(); ++i) loss = add(tape, loss, direction_loss(tape, parts, i, input.row_count));
  return {loss, {}};
}

}  // namespace swath
