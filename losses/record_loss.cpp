#include "losses/record_loss.h"

#include <algorithm>

#include "kernels/elementwise.h"

namespace swath {

namespace {

void scale_into(const Tensor& gradient, const Tensor& d_loss, const Tensor& out) {
  const kernels::ScaleArgs args{
      .n = gradient.numel(), .x = gradient.raw(), .out = out.raw(), .device_factor = d_loss.data<float>()};
  d_loss.device().run([&](auto exec) { kernels::scale(args, exec); });
}

void write_parameter(Parameter& parameter, const Tensor& gradient, const Tensor& d_loss) {
  const GradMode mode = parameter.grad_mode();
  if (mode == GradMode::skip) return;
  scale_into(gradient, d_loss, mode == GradMode::overwrite ? parameter.grad : gradient);
  if (mode == GradMode::overwrite) return;
  const kernels::AddArgs sum{
      .n = gradient.numel(), .a = gradient.raw(), .b = parameter.grad.raw(), .out = parameter.grad.raw()};
  d_loss.device().run([&](auto exec) { kernels::add(sum, exec); });
}

}  // namespace

Var record_loss(Tape& tape, const char* op, const Tensor& loss, const std::vector<std::pair<Var, Tensor>>& inputs,
                const std::vector<std::pair<Parameter*, Tensor>>& parameters) {
  std::vector<Var> vars;
  std::vector<Tensor> input_gradients;
  for (const auto& [var, gradient] : inputs) {
    vars.push_back(var);
    input_gradients.push_back(gradient);
  }
  const bool reaches_parameters = std::any_of(parameters.begin(), parameters.end(),
                                              [](const auto& entry) { return entry.first->trainable == Trainable::yes; });
  return tape.record(op, loss, vars, reaches_parameters,
                     [input_gradients, parameters](Tensor d_loss, InputGradients& gradients) {
                       for (std::size_t i = 0; i < input_gradients.size(); ++i) {
                         if (!gradients.needs(static_cast<int>(i))) continue;
                         scale_into(input_gradients[i], d_loss, input_gradients[i]);
                         gradients.add(static_cast<int>(i), input_gradients[i]);
                       }
                       for (const auto& [parameter, gradient] : parameters) write_parameter(*parameter, gradient, d_loss);
                     });
}

}  // namespace swath
