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

void Optimizer::step(const StepScalars& scalars, const LossScale* scale) {
  const std::vector<Stretch> stretches = trained_stretches();
  const std::int32_t* found_inf = scale ? scale->found_inf() : nullptr;
  if (options_.kind == "sgd") {
    for (const Stretch& stretch : stretches) sgd(stretch, scalars, found_inf);
    return;
  }
  kernels::AdamArgs args{.count = 0,
                         .grad = block_.grads().data<float>(),
                         .value = block_.values().data<float>(),
                         .m = first_.data<float>(),
                         .v = second_.data<float>(),
                         .step = scale ? scale->updates() : scalars.updates_pointer(),
                         .found_inf = found_inf,
                         .beta1 = options_.beta1,
                         .beta2 = options_.beta2,
                         .eps = options_.eps,
                         .decay = options_.kind == "adamw" ? kernels::WeightDecay::decoupled : kernels::WeightDecay::coupled};
  const auto update = [&] {
    if (args.count) block_.device().run([&](auto exec) { kernels::adam(args, exec); });
    args.count = 0;
  };
  for (const Stretch& stretch : stretches) {
    args.stretches[static_cast<std::size_t>(args.count++)] = {stretch.range.begin, stretch.range.end,
                                                              scalars.learning_rate_pointer(stretch.group),
                                                              options_.group(stretch.group).weight_decay};
    if (args.count == static_cast<std::int64_t>(kernels::kAdamStretches)) update();
  }
  update();
}

// Frozen parameters keep their place in the flat arrays; the update runs over the trained stretches between them.
std::vector<Optimizer::Stretch> Optimizer::trained_stretches() const {
  std::vector<Stretch> stretches;
  for (int i = 0; i < kParameterGroups; ++i) {
    const auto group = static_cast<ParameterGroup>(i);
    bool open = false;
    for (const Parameter& parameter : block_.parameters()) {
      if (parameter.group != group) continue;
      if (parameter.trainable == Trainable::no) {
        open = false;
      } else if (open) {
        stretches.back().range.end = parameter.place.end;
      } else {
        stretches.push_back({group, parameter.place});
        open = true;
      }
    }
  }
  return stretches;
}

void Optimizer::sgd(const Stretch& stretch, const StepScalars& scalars, const std::int32_t* found_inf) {
  const std::int64_t begin = stretch.range.begin;
  const kernels::SgdArgs args{.n = stretch.range.size(),
                              .grad = block_.grads().data<float>() + begin,
                              .value = block_.values().data<float>() + begin,
                              .buffer = options_.momentum > 0 ? first_.data<float>() + begin : nullptr,
                              .learning_rate = scalars.learning_rate_pointer(stretch.group),
                              .found_inf = found_inf,
                              .momentum = options_.momentum,
                              .weight_decay = static_cast<float>(options_.group(stretch.group).weight_decay)};
  block_.device().run([&](auto exec) { kernels::sgd(args, exec); });
}

}  // namespace swath
