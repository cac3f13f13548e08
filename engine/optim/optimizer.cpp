#include "engine/optim/optimizer.h"

#include "kernels/adam.h"
#include "kernels/sgd.h"

namespace swath {

const GroupOptions& OptimizerOptions::group(ParameterGroup group) const {
  switch (group) {
    case ParameterGroup::backbone:
      return backbone;
    case ParameterGroup::head:
      return head;
    case ParameterGroup::beta:
      return beta;
    case ParameterGroup::regressor:
      return regressor;
  }
  throw InternalError("unknown parameter group");
}

Optimizer::Optimizer(ParameterBlock& block, OptimizerOptions options) : block_(block), options_(std::move(options)) {
  const Shape shape = block.values().shape();
  first_ = Tensor::zeros(block.device(), shape, DType::f32, Tag::moments);
  second_ = Tensor::zeros(block.device(), options_.kind == "sgd" ? Shape{0} : shape, DType::f32, Tag::moments);
}

void Optimizer::step(const StepScalars& scalars) {
  for (int i = 0; i < kParameterGroups; ++i) {
    const auto group = static_cast<ParameterGroup>(i);
    // Frozen parameters keep their place in the flat arrays; the update runs over the trained stretches between them.
    ParameterRange stretch{block_.range(group).begin, block_.range(group).begin};
    const auto update = [&] {
      if (stretch.size() > 0) step_range(stretch, options_.group(group), scalars.learning_rate_pointer(group), scalars);
    };
    for (const Parameter& parameter : block_.parameters()) {
      if (parameter.group != group) continue;
      if (parameter.trainable == Trainable::yes) {
        stretch.end = parameter.place.end;
      } else {
        update();
        stretch = {parameter.place.end, parameter.place.end};
      }
    }
    update();
  }
}

void Optimizer::step_range(ParameterRange range, const GroupOptions& group, const float* learning_rate,
                           const StepScalars& scalars) {
  float* value = block_.values().data<float>() + range.begin;
  const float* grad = block_.grads().data<float>() + range.begin;
  float* first = first_.data<float>() + range.begin;
  if (options_.kind == "sgd") {
    const kernels::SgdArgs args{.n = range.size(),
                                .grad = grad,
                                .value = value,
                                .buffer = options_.momentum > 0 ? first : nullptr,
                                .learning_rate = learning_rate,
                                .momentum = options_.momentum,
                                .weight_decay = static_cast<float>(group.weight_decay)};
    block_.device().run([&](auto exec) { kernels::sgd(args, exec); });
    return;
  }
  const kernels::AdamArgs args{
      .n = range.size(),
      .grad = grad,
      .value = value,
      .m = first,
      .v = second_.data<float>() + range.begin,
      .learning_rate = learning_rate,
      .step = scalars.updates_pointer(),
      .beta1 = options_.beta1,
      .beta2 = options_.beta2,
      .eps = options_.eps,
      .weight_decay = group.weight_decay,
      .decay = options_.kind == "adamw" ? kernels::WeightDecay::decoupled : kernels::WeightDecay::coupled};
  block_.device().run([&](auto exec) { kernels::adam(args, exec); });
}

}  // namespace swath
