#include "engine/autograd/tape.h"

#include <utility>

#include "engine/core/trace.h"
#include "engine/device/step_ledger.h"
#include "kernels/elementwise.h"

namespace swath {

bool InputGradients::needs(int i) const { return slots_[static_cast<std::size_t>(i)] >= 0; }

void InputGradients::add(int i, Tensor gradient) {
  if (needs(i)) tape_.add_gradient(slots_[static_cast<std::size_t>(i)], std::move(gradient));
}

Tensor InputGradients::take(int i) { return needs(i) ? tape_.take_gradient(slots_[static_cast<std::size_t>(i)]) : Tensor(); }

Tape::Tape(Device& device, Phase phase) : device_(device), phase_(phase) {}

int Tape::new_slot() {
  slots_.emplace_back();
  return static_cast<int>(slots_.size()) - 1;
}

Var Tape::input(Tensor value) {
  Var var(std::move(value));
  if (gradients_enabled()) {
    var.slot_ = new_slot();
  }
  return var;
}

Var Tape::record(const char* op, Tensor value, std::initializer_list<Var> inputs, bool reaches_parameters, Backward backward) {
  return record(op, std::move(value), std::vector<Var>(inputs), reaches_parameters, std::move(backward));
}

Var Tape::record(const char* op, Tensor value, const std::vector<Var>& inputs, bool reaches_parameters, Backward backward) {
  SWATH_CHECK(backward != nullptr, "{} was recorded without its backward", op);
  const auto apart = [backward = std::move(backward)](const Tensor& d_value, const Tensor&, InputGradients& gradients) {
    backward(d_value, gradients);
  };
  Var var = record_pair(op, std::move(value), inputs, reaches_parameters, apart);
  if (var.needs_gradient()) slots_[static_cast<std::size_t>(var.slot_)].takes_two = false;
  return var;
}

Var Tape::record_pair(const char* op, Tensor value, const std::vector<Var>& inputs, bool reaches_parameters,
                      PairBackward backward) {
  inspect(op, "value", value);
  Var var(std::move(value));
  if (!gradients_enabled()) return var;
  Node node{op, device_.ledger() ? device_.ledger()->part() : nullptr, -1, {}, std::move(backward)};
  bool needed = reaches_parameters;
  for (const Var& input : inputs) {
    node.inputs.push_back(input.slot_);
    needed = needed || input.needs_gradient();
  }
  if (!needed) return var;
  node.output = var.slot_ = new_slot();
  slots_.back().takes_two = true;
  nodes_.push_back(std::move(node));
  return var;
}

void Tape::backward(const Var& output) {
  SWATH_CHECK(output.value().numel() == 1, "backward of a {} needs a gradient", output.shape().str());
  const Tensor one = Tensor::empty(device_, output.shape());
  device_.run([&](auto exec) { kernels::fill({.n = 1, .out = one.raw(), .value = 1}, exec); });
  backward(output, one);
}

void Tape::backward(const Var& output, Tensor d_output) {
  if (!output.needs_gradient()) return;
  add_gradient(output.slot_, std::move(d_output));
  while (!nodes_.empty()) {
    Node node = std::move(nodes_.back());
    nodes_.pop_back();
    const Slot slot = std::exchange(slots_[static_cast<std::size_t>(node.output)], {});
    if (!slot.gradient.defined()) continue;
    const TraceRange range(node.op);
    const LedgerPart part(device_.ledger(), node.part);
    InputGradients inputs(*this, node.inputs);
    inspect(node.op, "gradient", slot.gradient);
    if (slot.second.defined()) inspect(node.op, "second gradient", slot.second);
    node.backward(slot.gradient, slot.second, inputs);
    if (after_each_) after_each_();
  }
}

Tensor Tape::gradient(const Var& var) const {
  SWATH_CHECK(var.needs_gradient());
  return slots_[static_cast<std::size_t>(var.slot_)].gradient;
}

void Tape::add_gradient(int index, Tensor gradient) {
  Slot& slot = slots_[static_cast<std::size_t>(index)];
  if (!slot.gradient.defined()) {
    slot.gradient = std::move(gradient);
    return;
  }
  SWATH_CHECK(slot.gradient.shape() == gradient.shape() && slot.gradient.dtype() == gradient.dtype(), "{} and {}",
              slot.gradient.shape().str(), gradient.shape().str());
  if (!slot.takes_two) return sum_gradients(slot.gradient, gradient);
  if (slot.second.defined()) return sum_gradients(slot.second, gradient);
  slot.second = std::move(gradient);
}

Tensor Tape::take_gradient(int index) {
  Slot& slot = slots_[static_cast<std::size_t>(index)];
  if (slot.second.defined()) sum_gradients(slot.gradient, slot.second);
  slot.second = {};
  return std::exchange(slot.gradient, {});
}

void Tape::sum_gradients(const Tensor& sum, const Tensor& gradient) const {
  device_.run([&](auto exec) {
    kernels::add({.n = sum.numel(), .dtype = sum.dtype(), .a = sum.raw(), .b = gradient.raw(), .out = sum.raw()}, exec);
  });
}

void Tape::inspect(const char* op, const char* what, const Tensor& value) const {
  if (trace_switches().debug_tape) print_summary(op, what, value);
  if (trace_switches().check_nan) require_finite(value, fmt::format("the {} of {}", what, op).c_str());
}

}  // namespace swath
