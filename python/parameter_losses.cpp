// Losses with layers of their own: adversarial decorrelation, BCE with logits, weight norms (methods.md §6, §7).
#include <fmt/format.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include "engine/autograd/row_ops.h"
#include "losses/adversarial.h"
#include "losses/bce.h"
#include "losses/weight_norm.h"
#include "python/bindings.h"
#include "python/call.h"

namespace swath::python {

namespace {

using Stream = std::optional<std::uintptr_t>;

struct Backward {
  double loss = 0;
  std::vector<Tensor> gradients;  // of the tape's inputs
};

/// Runs a loss on the tape, forward and backward, without the interpreter's lock; parameters' gradients end in the block.
template <class Forward>
Backward run_loss(Call& call, ParameterBlock& block, const std::vector<Tensor>& inputs, const Forward& forward) {
  const nb::gil_scoped_release release;
  Tape tape(call.device(), Phase::train);
  std::vector<Var> vars;
  for (const Tensor& input : inputs) vars.push_back(tape.input(input));
  block.begin_step();
  const Var loss = forward(tape, vars);
  Backward result;
  result.loss = to_number(loss.value());
  tape.backward(loss);
  block.end_backward();
  for (std::size_t i = 0; i < vars.size(); ++i) {
    const Tensor gradient = tape.gradient(vars[i]);
    result.gradients.push_back(gradient.defined() ? gradient : Tensor::zeros(call.device(), inputs[i].shape()));
  }
  call.device().synchronize();
  return result;
}

void set_value(ParameterBlock& block, const std::string& name, const Tensor& value) {
  block.find(name)->value.copy_from(value);
}
nb::object gradient_of(ParameterBlock& block, const std::string& name) { return to_python(block.find(name)->grad.clone()); }

nb::dict bce_loss(nb::handle e, nb::handle y, nb::handle weight, nb::handle bias, Stream stream) {
  Call call(stream);
  const Tensor rows = call.floats("e", e, {kAny, kAny});
  std::int64_t classes = 0;
  const Tensor labels = call.label_masks("y", y, rows.size(0), &classes);
  const Tensor w = call.floats("weight", weight, {classes, rows.size(1)}), b = call.floats("bias", bias, {classes});
  ParameterBlock block;
  BceLoss loss(block, rows.size(1), classes, 0);
  block.allocate(call.device());
  set_value(block, "bce.weight", w);
  set_value(block, "bce.bias", b);
  const Backward back = run_loss(call, block, {rows}, [&](Tape& tape, const std::vector<Var>& inputs) {
    LossInput input;
    input.rows = inputs[0];
    input.labels = labels;
    return loss.forward(tape, input).loss;
  });
  nb::dict result;
  result["loss"] = back.loss;
  result["d_e"] = to_python(back.gradients[0]);
  result["d_weight"] = gradient_of(block, "bce.weight");
  result["d_bias"] = gradient_of(block, "bce.bias");
  return result;
}

constexpr const char* kRegressorKeys[] = {"W1", "b1", "W2", "b2"};
constexpr const char* kRegressorParameters[] = {"w1", "b1", "w2", "b2"};

/// The arrays of one regressor, checked against the widths it joins. `hidden` is that of the first one, kAny before it.
std::vector<Tensor> regressor_arrays(Call& call, std::size_t index, const nb::dict& arrays, std::int64_t in, std::int64_t out,
                                     std::int64_t* hidden) {
  const std::string stem = fmt::format("regressors[{}]", index);
  for (const char* key : kRegressorKeys)
    if (!arrays.contains(key)) refuse(fmt::format("{} lacks {}; it needs W1, b1, W2 and b2", stem, key));
  const auto name = [&](const char* key) { return fmt::format("{}['{}']", stem, key); };
  std::vector<Tensor> tensors{call.floats(name("W1"), arrays["W1"], {*hidden, in})};
  *hidden = tensors[0].size(0);
  tensors.push_back(call.floats(name("b1"), arrays["b1"], {*hidden}));
  tensors.push_back(call.floats(name("W2"), arrays["W2"], {out, *hidden}));
  tensors.push_back(call.floats(name("b2"), arrays["b2"], {out}));
  return tensors;
}

nb::dict adversarial_loss(const std::vector<nb::object>& parts,
                          const std::vector<std::pair<std::int64_t, std::int64_t>>& directions,
                          const std::vector<float>& weights, const std::vector<nb::dict>& regressors, Stream stream) {
  Call call(stream);
  if (parts.empty()) refuse("parts is empty; pass the sub-embeddings");
  if (directions.empty()) refuse("directions is empty; pass pairs (source, target) of parts");
  if (weights.size() != directions.size())
    refuse(fmt::format("weights has {} numbers for {} directions", weights.size(), directions.size()));
  if (regressors.size() != directions.size())
    refuse(fmt::format("regressors has {} entries for {} directions", regressors.size(), directions.size()));
  for (std::size_t i = 0; i < weights.size(); ++i) require_finite_number(fmt::format("weights[{}]", i), weights[i]);
  std::vector<Tensor> inputs;
  std::vector<std::int64_t> widths;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    inputs.push_back(call.floats(fmt::format("parts[{}]", i), parts[i], {i == 0 ? kAny : inputs[0].size(0), kAny}));
    widths.push_back(inputs.back().size(1));
  }
  std::vector<AdversarialDirection> all;
  std::vector<std::vector<Tensor>> arrays;
  std::int64_t hidden = kAny;
  for (std::size_t i = 0; i < directions.size(); ++i) {
    const auto [source, target] = directions[i];
    const auto count = static_cast<std::int64_t>(parts.size());
    if (source < 0 || source >= count || target < 0 || target >= count || source == target)
      refuse(fmt::format("directions[{}] is ({}, {}), which does not join two of the {} parts", i, source, target, count));
    all.push_back({source, target, weights[i]});
    arrays.push_back(regressor_arrays(call, i, regressors[i], widths[static_cast<std::size_t>(source)],
                                      widths[static_cast<std::size_t>(target)], &hidden));
  }
  ParameterBlock block;
  AdversarialLoss loss(block, widths, all, hidden, 0);
  block.allocate(call.device());
  const auto stem = [&](std::size_t i) { return fmt::format("adversarial.{}_{}.", all[i].source, all[i].target); };
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t p = 0; p < 4; ++p) set_value(block, stem(i) + kRegressorParameters[p], arrays[i][p]);
  const Backward back = run_loss(call, block, inputs, [&](Tape& tape, const std::vector<Var>& vars) {
    LossInput input;
    input.rows = concat_columns(tape, vars);
    return loss.forward(tape, input).loss;
  });
  nb::dict result;
  result["loss"] = back.loss;
  nb::list d_parts, d_regressors;
  for (const Tensor& gradient : back.gradients) d_parts.append(to_python(gradient));
  for (std::size_t i = 0; i < all.size(); ++i) {
    nb::dict gradients;
    for (std::size_t p = 0; p < 4; ++p) gradients[kRegressorKeys[p]] = gradient_of(block, stem(i) + kRegressorParameters[p]);
    d_regressors.append(gradients);
  }
  result["d_parts"] = d_parts;
  result["d_regressors"] = d_regressors;
  return result;
}

nb::dict weight_norm_loss(const std::vector<nb::object>& weights, const std::optional<std::vector<nb::object>>& biases,
                          const std::optional<std::vector<std::int64_t>>& owners, Stream stream) {
  Call call(stream);
  if (weights.empty()) refuse("weights is empty; pass the layers' matrices");
  if (biases && biases->size() != weights.size())
    refuse(fmt::format("biases has {} entries for {} weights", biases->size(), weights.size()));
  if (owners && owners->size() != weights.size())
    refuse(fmt::format("owners has {} entries for {} weights", owners->size(), weights.size()));
  ParameterBlock block;
  std::map<std::int64_t, std::vector<WeightNormLayer>> by_owner;
  std::vector<std::pair<std::string, Tensor>> values;
  const auto declare = [&](const std::string& name, const Tensor& value) {
    values.emplace_back(name, value);
    return &block.declare(name, value.shape(), ParameterGroup::head, [](float*, const Shape&) {});
  };
  std::vector<bool> has_bias;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Tensor w = call.floats(fmt::format("weights[{}]", i), weights[i], {kAny, kAny});
    WeightNormLayer layer{declare(fmt::format("w{}", i), w), nullptr};
    has_bias.push_back(biases && !(*biases)[i].is_none());
    if (has_bias.back())
      layer.bias = declare(fmt::format("b{}", i), call.floats(fmt::format("biases[{}]", i), (*biases)[i], {w.size(0)}));
    by_owner[owners ? (*owners)[i] : static_cast<std::int64_t>(i)].push_back(layer);
  }
  std::vector<std::vector<WeightNormLayer>> layers;
  for (auto& [owner, list] : by_owner) layers.push_back(list);
  WeightNormLoss loss(layers);
  block.allocate(call.device());
  for (const auto& [name, value] : values) set_value(block, name, value);
  const Backward back =
      run_loss(call, block, {}, [&](Tape& tape, const std::vector<Var>&) { return loss.forward(tape, {}).loss; });
  nb::dict result;
  nb::list d_weights, d_biases;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    d_weights.append(gradient_of(block, fmt::format("w{}", i)));
    d_biases.append(has_bias[i] ? gradient_of(block, fmt::format("b{}", i)) : nb::none());
  }
  result["loss"] = back.loss;
  result["d_weights"] = d_weights;
  result["d_biases"] = d_biases;
  return result;
}

}  // namespace

void bind_parameter_losses(nb::module_& m) {
  m.def("bce_loss", &bce_loss, nb::arg("e"), nb::arg("y"), nb::arg("weight"), nb::arg("bias"), nb::arg("stream") = nb::none(),
        R"(Binary cross-entropy of the logits e weightᵀ + bias, the mean over all labels (methods.md §6).

e: (B, D) float32; y: (B, C) multi-hot of 0 and 1; weight: (C, D); bias: (C,). Returns loss, d_e, d_weight, d_bias.)");
  m.def("adversarial_loss", &adversarial_loss, nb::arg("parts"), nb::arg("directions"), nb::arg("weights"),
        nb::arg("regressors"), nb::arg("stream") = nb::none(),
        R"(Adversarial decorrelation of sub-embeddings (M. Opitz et al., BIER, 2018; methods.md §6).

parts: list of (B, d_i) float32. directions: pairs (source, target) of parts; weights: a number each; regressors: a dict each, with W1
(H, d_source), b1 (H,), W2 (d_target, H), b2 (d_target,), one H for all. Returns loss, d_regressors (dicts like regressors) and
d_parts. Parts stand behind a gradient reversal: d_parts is the negative of the loss's slope.)");
  m.def(
      "weight_norm_loss", &weight_norm_loss, nb::arg("weights"), nb::arg("biases") = nb::none(), nb::arg("owners") = nb::none(),
      nb::arg("stream") = nb::none(),
      R"(BIER's regulariser: mean over owners of the sum over their layers of mean over rows of (|w|² − 1)², plus max(0, |b|² − 1)
where there is a bias (M. Opitz et al., BIER, 2018; methods.md §7).

weights: list of (rows, cols) float32; biases: list of (rows,) or None; owners: the owner's number of each layer (its own when left
out). Returns loss, d_weights, d_biases (lists like the arguments).)");
}

}  // namespace swath::python
