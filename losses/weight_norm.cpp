#include "losses/weight_norm.h"

#include "kernels/weight_norm_loss.h"

namespace swath {

namespace {

/// What a call of the kernel is to do: its loss, or the gradients times `loss_scale`.
struct Call {
  float* loss = nullptr;
  const float* loss_scale = nullptr;
};

}  // namespace

WeightNormLoss::WeightNormLoss(const std::vector<std::vector<WeightNormLayer>>& owners) {
  for (const std::vector<WeightNormLayer>& owner : owners)
    for (const WeightNormLayer& layer : owner) layers_.push_back({layer, 1.0f / static_cast<float>(owners.size())});
  if (layers_.size() > kernels::kWeightNormLayers)
    throw UserError(fmt::format("weight_norm takes at most {} layers, not {}; use fewer heads or regressors",
                                kernels::kWeightNormLayers, layers_.size()));
}

LossOutput WeightNormLoss::forward(Tape& tape, const LossInput&) {
  const auto run = [layers = layers_](Device& device, const Call& call) {
    kernels::WeightNormLossArgs args{
        .layer_count = static_cast<std::int64_t>(layers.size()), .loss_scale = call.loss_scale, .loss = call.loss};
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const auto& [layer, factor] = layers[l];
      const bool gradients = call.loss == nullptr;
      args.layers[l] = {.weight = layer.weight->value.data<float>(),
                        .bias = layer.bias ? layer.bias->value.data<float>() : nullptr,
                        .d_weight = layer.weight->grad.data<float>(),
                        .d_bias = layer.bias ? layer.bias->grad.data<float>() : nullptr,
                        .rows = layer.weight->shape[0],
                        .cols = layer.weight->shape[1],
                        .factor = factor,
                        .d_weight_mode = gradients ? layer.weight->grad_mode() : GradMode::skip,
                        .d_bias_mode = gradients && layer.bias ? layer.bias->grad_mode() : GradMode::skip};
    }
    const Tensor scratch = Tensor::workspace(device, kernels::weight_norm_loss_workspace(args));
    args.workspace = scratch.raw();
    device.run([&](auto exec) { kernels::weight_norm_loss(args, exec); });
  };
  const Tensor loss = Tensor::empty(tape.device(), {1});
  run(tape.device(), {.loss = loss.data<float>()});
  return {tape.record("weight_norm", loss, std::vector<Var>{}, true,
                      [run](Tensor d_loss, InputGradients&) { run(d_loss.device(), {.loss_scale = d_loss.data<float>()}); }),
          {}};
}

}  // namespace swath
