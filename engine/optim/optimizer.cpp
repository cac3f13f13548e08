#include "engine/optim/optimizer.h"

#include <algorithm>

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

namespace {

/// Queues update(args) with as many of the stretches at a time as one launch takes.
template <class Args, class Update>
void in_launches(const std::vector<kernels::UpdateStretch>& stretches, Args args, const Update& update) {
  for (std::size_t begin = 0; begin < stretches.size(); begin += kernels::kUpdateStretches) {
    const std::size_t count = std::min(kernels::kUpdateStretches, stretches.size() - begin);
    std::copy_n(stretches.begin() + static_cast<std::ptrdiff_t>(begin), count, args.stretches.begin());
    args.count = static_cast<std::int64_t>(count);
    update(args);
  }
}

}  // namespace

void Optimizer::step(const StepScalars& scalars, const LossScale* scale) {
  std::vector<kernels::UpdateStretch> stretches;
  for (const Stretch& s : trained_stretches())
    stretches.push_back({.begin = s.range.begin,
                         .end = s.range.end,
                         .learning_rate = scalars.learning_rate_pointer(s.group),
                         .weight_decay = options_.group(s.group).weight_decay,
                         .grad = s.grads->raw(),
                         .grad_type = s.grads->dtype()});
  Device& device = block_.device();
  const float* grad_factor = scale ? scale->inverse() : nullptr;
  const std::int32_t* found_inf = scale ? scale->found_inf() : nullptr;
  float *value = block_.values().data<float>(), *first = first_.data<float>();
  if (options_.kind == "sgd") {
    const kernels::SgdArgs args{.value = value,
                                .buffer = options_.momentum > 0 ? first : nullptr,
                                .grad_factor = grad_factor,
                                .found_inf = found_inf,
                                .momentum = options_.momentum};
    return in_launches(stretches, args, [&](const auto& a) { device.run([&](auto exec) { kernels::sgd(a, exec); }); });
  }
  const kernels::AdamArgs args{
      .value = value,
      .m = first,
      .v = second_.data<float>(),
      .step = scale ? scale->updates() : scalars.updates_pointer(),
      .grad_factor = grad_factor,
      .found_inf = found_inf,
      .beta1 = options_.beta1,
      .beta2 = options_.beta2,
      .eps = options_.eps,
      .decay = options_.kind == "adamw" ? kernels::WeightDecay::decoupled : kernels::WeightDecay::coupled};
  in_launches(stretches, args, [&](const auto& a) { device.run([&](auto exec) { kernels::adam(a, exec); }); });
}

void Optimizer::visit_state(StateVisitor& visitor) {
  for (const auto& [name, moments] : {std::pair{"optim.m.", &first_}, std::pair{"optim.v.", &second_}}) {
    if (moments->numel() == 0) continue;
    for (const Parameter& p : block_.parameters()) {
      Tensor of = p.part_of(*moments);
      visitor.tensor(name + p.name, of);
    }
  }
}

// Frozen parameters keep their place in the flat arrays; the update runs over the trained stretches between them.
std::vector<Optimizer::Stretch> Optimizer::trained_stretches() const {
  std::vector<Stretch> stretches;
  for (const Parameter* parameter : block_.in_order()) {
    if (parameter->trainable == Trainable::no) continue;
    const Tensor* grads = &block_.grads_of(*parameter);
    if (!stretches.empty()) {
      Stretch& last = stretches.back();
      if (last.group == parameter->group && last.grads == grads && last.range.end == parameter->place.begin) {
        last.range.end = parameter->place.end;
        continue;
      }
    }
    stretches.push_back({parameter->group, parameter->place, grads});
  }
  return stretches;
}

}  // namespace swath
