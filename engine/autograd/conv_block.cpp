#include "engine/autograd/conv_block.h"

#include <optional>

#include "engine/autograd/joint_norm.h"
#include "engine/nn/init.h"
#include "kernels/batch_norm_pool.h"
#include "kernels/columns.h"
#include "kernels/elementwise.h"

namespace swath {

namespace {

using kernels::NormGradient;
using kernels::NormTerm;

Tensor workspace(Device& device, std::size_t bytes) {
  return Tensor::empty(device, {static_cast<std::int64_t>(bytes)}, DType::u8, Tag::workspace);
}

ConvGeometry geometry_of(const Backend& backend, const Var& x, const ConvNorm& layer) {
  if (x.shape().rank() != 4) throw UserError(fmt::format("a convolution takes N×H×W×C, not {}", x.shape().str()));
  const Shape &in = x.shape(), &w = layer.weight->shape;
  if (w.rank() != 4 || (w[3] != in[3] && backend.conv_channels(x.value().dtype(), w[3]) != in[3]))
    throw UserError(fmt::format("{} is {} but its input has {} channels", layer.weight->name, w.str(), in[3]));
  if (layer.norm.weight->shape[0] != w[0])
    throw UserError(
        fmt::format("{} has {} channels, its input {}", layer.norm.weight->name, layer.norm.weight->shape[0], w[0]));
  const ConvGeometry geometry{.n = in[0],
                              .h = in[1],
                              .w = in[2],
                              .c = in[3],
                              .k = w[0],
                              .r = w[1],
                              .s = w[2],
                              .stride = layer.options.stride,
                              .pad = layer.options.pad,
                              .dtype = x.value().dtype()};
  if (geometry.out_h() < 1 || geometry.out_w() < 1)
    throw UserError(fmt::format("an image of {}×{} is too small for {}", in[1], in[2], layer.weight->name));
  return geometry;
}

/// Weights with zeros for the channels that only the activations have.
Tensor widened(const Tensor& weights, std::int64_t channels) {
  const Shape& shape = weights.shape();
  const Tensor wide =
      Tensor::zeros(weights.device(), {shape[0], shape[1], shape[2], channels}, weights.dtype(), Tag::workspace);
  const kernels::CopyColumnsArgs args{.rows = shape[0] * shape[1] * shape[2],
                                      .columns = shape[3],
                                      .dtype = weights.dtype(),
                                      .from = weights.raw(),
                                      .from_stride = shape[3],
                                      .to = wide.raw(),
                                      .to_stride = channels};
  weights.device().run([&](auto exec) { kernels::copy_columns(args, exec); });
  return wide;
}

/// The weights as the backend takes them. One launch converts all parameters of the block, once per tape: they do not change
/// while it lives.
Tensor conv_weights(Tape& tape, const Parameter& weight, const ConvGeometry& geometry) {
  const DType type = tape.device().backend().conv_weight_type(geometry.dtype);
  Tensor weights = weight.value;
  if (type != weights.dtype()) {
    const Tensor& values = weight.block->values();
    Tensor& all = tape.kept(weight.block);
    if (!all.defined()) {
      all = Tensor::empty(tape.device(), values.shape(), type, Tag::weights);
      const kernels::CastArgs cast{
          .n = values.numel(), .from = values.dtype(), .to = type, .x = values.raw(), .out = all.raw()};
      tape.device().run([&](auto exec) { kernels::cast(cast, exec); });
    }
    SWATH_CHECK(all.dtype() == type, "one tape, two types of activations");
    weights = all.rows(weight.place.begin, weight.place.begin + weight.shape.numel()).view(weight.shape);
  }
  return weight.shape[3] == geometry.c ? weights : widened(weights, geometry.c);
}

/// A convolution's input and output, with what normalises the output; the backward pass needs all of it.
struct Term {
  ConvNorm layer;
  ConvGeometry geometry;
  Tensor weights, x, y, mean, invstd;
  BatchShare share = {};  // ranks null: normalised with the rows that are here

  std::int64_t channels() const { return geometry.k; }
  std::int64_t rows() const { return y.numel() / geometry.k; }
  bool trains() const { return layer.weight->trainable == Trainable::yes || layer.norm.weight->trainable == Trainable::yes; }
  NormTerm normal() const {
    const BatchNorm& norm = layer.norm;
    return {.x = y.raw(),
            .gamma = norm.weight->value.data<float>(),
            .beta = norm.bias->value.data<float>(),
            .mean = mean.defined() ? mean.data<float>() : norm.running_mean->value.data<float>(),
            .spread = invstd.defined() ? invstd.data<float>() : norm.running_var->value.data<float>()};
  }
  /// Where a joined normalisation first leaves its parameters' gradients; undefined for another.
  Tensor own_sums() const { return share.ranks ? Tensor::empty(y.device(), {2, channels()}) : Tensor(); }
  /// Where the gradients go: to own_sums(), or to the parameters, which this marks as written.
  NormGradient gradient(const Tensor& d_y, const Tensor& own) const {
    if (own.defined())
      return {.d_x = d_y.raw(),
              .d_gamma = own.data<float>(),
              .d_beta = own.data<float>() + channels(),
              .mode = GradMode::overwrite};
    const GradMode mode = layer.norm.weight->grad_mode();
    layer.norm.bias->grad_mode();
    return {.d_x = d_y.defined() ? d_y.raw() : nullptr,
            .d_gamma = layer.norm.weight->grad.data<float>(),
            .d_beta = layer.norm.bias->grad.data<float>(),
            .mode = mode};
  }
  /// After a backward pass over the rows that are here.
  void join(const Tensor& own, const Tensor& d_y) const {
    if (!own.defined()) return;
    joint_gradient(
        share, layer.norm,
        {.rows = rows(), .positions = y.size(1) * y.size(2), .channels = channels(), .main = normal(), .own = own, .d_x = d_y});
  }
};

void batch_statistics(Device& device, Term& term) {
  if (term.rows() == 1 && !term.share.ranks)
    throw UserError(fmt::format("batch_norm: {} gets one value per channel, which has no variance; use a larger batch or image",
                                term.layer.norm.weight->name));
  term.mean = Tensor::empty(device, {term.channels()});
  term.invstd = Tensor::empty(device, {term.channels()});
  const Tensor scratch = workspace(device, kernels::batch_norm_workspace(term.rows(), term.channels()));
  const kernels::BatchNormStatisticsArgs args{.rows = term.rows(),
                                              .channels = term.channels(),
                                              .dtype = term.y.dtype(),
                                              .x = term.y.raw(),
                                              .running_mean = term.layer.norm.running_mean->value.data<float>(),
                                              .running_var = term.layer.norm.running_var->value.data<float>(),
                                              .mean = term.mean.data<float>(),
                                              .invstd = term.invstd.data<float>(),
                                              .eps = BatchNorm::kEpsilon,
                                              .momentum = BatchNorm::kMomentum,
                                              .workspace = scratch.raw(),
                                              .counters = device.counters(kernels::batch_norm_counters(term.channels()))};
  if (term.share.ranks) return joint_statistics(device, term.share, args, term.y.size(1) * term.y.size(2));
  device.run([&](auto exec) { kernels::batch_norm_statistics(args, exec); });
}

/// The convolution and, in training, the statistics of its result.
Term convolve(Tape& tape, const Var& x, const ConvNorm& layer) {
  Backend& backend = tape.device().backend();
  const ConvGeometry geometry = geometry_of(backend, x, layer);
  Term term{.layer = layer,
            .geometry = geometry,
            .weights = conv_weights(tape, *layer.weight, geometry),
            .x = x.value(),
            .y = Tensor::empty(tape.device(), geometry.output_shape(), geometry.dtype),
            .mean = {},
            .invstd = {},
            .share = tape.share().norm == NormScope::batch ? tape.share() : BatchShare{}};
  backend.conv_forward(geometry, term.x, term.weights, term.y);
  if (tape.training()) batch_statistics(tape.device(), term);
  return term;
}

void weight_gradient(const Term& term, const Tensor& d_y) {
  Parameter& weight = *term.layer.weight;
  Backend& backend = d_y.device().backend();
  const GradMode mode = weight.grad_mode();
  if (mode == GradMode::skip) return;
  if (term.geometry.c == weight.shape[3]) return backend.conv_backward_weight(term.geometry, term.x, d_y, weight.grad, mode);
  const Tensor wide = Tensor::empty(d_y.device(), term.geometry.weight_shape(), DType::f32, Tag::workspace);
  backend.conv_backward_weight(term.geometry, term.x, d_y, wide, GradMode::overwrite);
  const kernels::CopyColumnsArgs args{.rows = wide.numel() / term.geometry.c,
                                      .columns = weight.shape[3],
                                      .from = wide.raw(),
                                      .from_stride = term.geometry.c,
                                      .to = weight.grad.raw(),
                                      .to_stride = weight.shape[3],
                                      .mode = mode};
  d_y.device().run([&](auto exec) { kernels::copy_columns(args, exec); });
}

/// The convolution's own gradients, from that of its result.
void convolve_backward(const Term& term, const Tensor& d_y, InputGradients& gradients, int input) {
  weight_gradient(term, d_y);
  if (!gradients.needs(input)) return;
  const Tensor d_x = Tensor::empty(d_y.device(), term.geometry.input_shape(), term.geometry.dtype);
  d_y.device().backend().conv_backward_data(term.geometry, d_y, term.weights, d_x);
  gradients.add(input, d_x);
}

/// What a block keeps for its backward pass. Inputs on the tape: x, then the residual or the shortcut's input.
struct Block {
  Term main;
  std::optional<Term> shortcut;
  bool has_residual = false;
  Activation activation = Activation::none;
  Tensor mask;  // one bit per element, where ReLU's mask cannot be recomputed
};

void block_backward(const Block& block, const Tensor& d_y, const Tensor& more, InputGradients& gradients) {
  Device& device = d_y.device();
  const Term& main = block.main;
  const bool joins = block.shortcut || block.has_residual;
  // The masked gradient takes over d_y, and the gradient of the shortcut's result takes that over in turn. Without either, the
  // gradient of the main result does.
  const Tensor d_main = joins ? Tensor::empty(device, main.y.shape(), main.y.dtype()) : d_y;
  const Tensor sums = main.own_sums(), more_sums = block.shortcut ? block.shortcut->own_sums() : Tensor();
  kernels::BatchNormBackwardArgs args{.rows = main.rows(),
                                      .channels = main.channels(),
                                      .dtype = main.y.dtype(),
                                      .d_y = d_y.raw(),
                                      .d_y_second = more.defined() ? more.raw() : nullptr,
                                      .mask = block.mask.defined() ? block.mask.data<std::uint8_t>() : nullptr,
                                      .main = main.normal(),
                                      .d_main = main.gradient(d_main, sums),
                                      .d_residual = joins ? d_y.raw() : nullptr,
                                      .activation = block.activation,
                                      .counters = device.counters(kernels::batch_norm_counters(main.channels()))};
  if (block.shortcut) {
    args.shortcut = block.shortcut->normal();
    args.d_shortcut = block.shortcut->gradient(d_y, more_sums);
  }
  {
    const Tensor scratch = workspace(device, kernels::batch_norm_workspace(args.rows, args.channels));
    args.workspace = scratch.raw();
    device.run([&](auto exec) { kernels::batch_norm_backward(args, exec); });
  }
  main.join(sums, d_main);
  if (block.shortcut) block.shortcut->join(more_sums, d_y);
  convolve_backward(main, d_main, gradients, 0);
  if (block.shortcut) convolve_backward(*block.shortcut, d_y, gradients, 1);
  if (block.has_residual) gradients.add(1, d_y);
}

Var finish_block(Tape& tape, Block block, const Var& x, const Var& second) {
  Device& device = tape.device();
  const Term& main = block.main;
  const bool training = tape.training(), differentiates = tape.gradients_enabled(), joins = second.value().defined();
  // Only a backward pass needs the convolution's result again.
  const Tensor y = differentiates ? Tensor::empty(device, main.y.shape(), main.y.dtype()) : main.y;
  if (differentiates && joins && block.activation == Activation::relu)
    block.mask = Tensor::empty(device, {main.rows(), (main.channels() + 7) / 8}, DType::u8);
  const kernels::BatchNormApplyArgs args{.rows = main.rows(),
                                         .channels = main.channels(),
                                         .dtype = y.dtype(),
                                         .main = main.normal(),
                                         .shortcut = block.shortcut ? block.shortcut->normal() : NormTerm{},
                                         .residual = block.has_residual ? second.value().raw() : nullptr,
                                         .y = y.raw(),
                                         .mask = block.mask.defined() ? block.mask.data<std::uint8_t>() : nullptr,
                                         .activation = block.activation,
                                         .spread = training ? kernels::Spread::inverse_deviation : kernels::Spread::variance,
                                         .eps = BatchNorm::kEpsilon};
  device.run([&](auto exec) { kernels::batch_norm_apply(args, exec); });
  if (!differentiates) return Var(y);
  const bool trains = main.trains() || (block.shortcut && block.shortcut->trains());
  const std::vector<Var> inputs = joins ? std::vector<Var>{x, second} : std::vector<Var>{x};
  return tape.record_pair("conv_norm", y, inputs, trains,
                          [block = std::move(block)](const Tensor& d_y, const Tensor& more, InputGradients& gradients) {
                            block_backward(block, d_y, more, gradients);
                          });
}

void pool_backward(const Term& term, const kernels::PoolGeometry& geometry, const Tensor& index, const Tensor& d_y,
                   const Tensor& more, InputGradients& gradients) {
  Device& device = d_y.device();
  const Tensor d_conv = Tensor::empty(device, term.y.shape(), term.y.dtype());
  const Tensor sums = term.own_sums();
  {
    const Tensor scratch = workspace(device, kernels::batch_norm_pool_workspace(geometry));
    const kernels::BatchNormPoolBackwardArgs args{.geometry = geometry,
                                                  .dtype = term.y.dtype(),
                                                  .d_y = d_y.raw(),
                                                  .d_y_second = more.defined() ? more.raw() : nullptr,
                                                  .index = index.data<std::uint8_t>(),
                                                  .main = term.normal(),
                                                  .d_main = term.gradient(d_conv, sums),
                                                  .workspace = scratch.raw(),
                                                  .counters = device.counters(kernels::batch_norm_counters(term.channels()))};
    device.run([&](auto exec) { kernels::batch_norm_pool_backward(args, exec); });
  }
  term.join(sums, d_conv);
  convolve_backward(term, d_conv, gradients, 0);
}

}  // namespace

BatchNorm BatchNorm::declare(ParameterBlock& block, const std::string& name, std::int64_t channels, ParameterGroup group) {
  return {&block.declare(name + ".weight", {channels}, group, constant_init(1)),
          &block.declare(name + ".bias", {channels}, group, constant_init(0)),
          &block.declare_buffer(name + ".running_mean", {channels}, constant_init(0)),
          &block.declare_buffer(name + ".running_var", {channels}, constant_init(1))};
}

Var conv_norm(Tape& tape, const Var& x, const ConvNorm& layer, Activation activation) {
  return finish_block(tape, {.main = convolve(tape, x, layer), .shortcut = {}, .activation = activation, .mask = {}}, x, {});
}

Var conv_norm_add(Tape& tape, const Var& x, const ConvNorm& layer, const Var& residual) {
  Block block{
      .main = convolve(tape, x, layer), .shortcut = {}, .has_residual = true, .activation = Activation::relu, .mask = {}};
  SWATH_CHECK(residual.shape() == block.main.y.shape(), "{} and {}", residual.shape().str(), block.main.y.shape().str());
  return finish_block(tape, std::move(block), x, residual);
}

Var conv_norm_add(Tape& tape, const Var& x, const ConvNorm& layer, const Var& from, const ConvNorm& shortcut) {
  Block block{
      .main = convolve(tape, x, layer), .shortcut = convolve(tape, from, shortcut), .activation = Activation::relu, .mask = {}};
  SWATH_CHECK(block.shortcut->y.shape() == block.main.y.shape(), "{} and {}", block.shortcut->y.shape().str(),
              block.main.y.shape().str());
  return finish_block(tape, std::move(block), x, from);
}

Var conv_norm_pool(Tape& tape, const Var& x, const ConvNorm& layer, PoolOptions pool) {
  Device& device = tape.device();
  const Term term = convolve(tape, x, layer);
  const Shape& in = term.y.shape();
  const kernels::PoolGeometry geometry{.n = in[0],
                                       .height = in[1],
                                       .width = in[2],
                                       .channels = in[3],
                                       .window = pool.kernel,
                                       .stride = pool.stride,
                                       .pad = pool.pad};
  const Shape out{in[0], geometry.out_height(), geometry.out_width(), in[3]};
  const Tensor y = Tensor::empty(device, out, term.y.dtype());
  const Tensor index = tape.gradients_enabled() ? Tensor::empty(device, out, DType::u8) : Tensor();
  const kernels::BatchNormPoolArgs args{
      .geometry = geometry,
      .dtype = y.dtype(),
      .main = term.normal(),
      .y = y.raw(),
      .index = index.defined() ? index.data<std::uint8_t>() : nullptr,
      .spread = tape.training() ? kernels::Spread::inverse_deviation : kernels::Spread::variance,
      .eps = BatchNorm::kEpsilon};
  device.run([&](auto exec) { kernels::batch_norm_pool(args, exec); });
  if (!tape.gradients_enabled()) return Var(y);
  return tape.record_pair("conv_norm_pool", y, {x}, term.trains(),
                          [term, geometry, index](const Tensor& d_y, const Tensor& more, InputGradients& gradients) {
                            pool_backward(term, geometry, index, d_y, more, gradients);
                          });
}

}  // namespace swath
