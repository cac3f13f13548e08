#include "engine/autograd/conv_term.h"

#include "engine/autograd/joint_norm.h"
#include "engine/device/step_ledger.h"
#include "kernels/batch_norm_fused.h"
#include "kernels/columns.h"
#include "kernels/elementwise.h"

namespace swath {

using kernels::NormGradient;
using kernels::NormTerm;

namespace {

ConvGeometry geometry_of(const Backend& backend, const Var& x, const ConvNorm& layer) {
  if (x.shape().rank() != 4) throw UserError(fmt::format("a convolution takes N×H×W×C, not {}", x.shape().str()));
  const Shape &in = x.shape(), &w = layer.weight->shape;
  if (w.rank() != 4 || (w[3] != in[3] && backend.conv_channels(x.dtype(), w[3]) != in[3]))
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
                              .dtype = x.dtype()};
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
    weights = weight.part_of(all);
  }
  return weight.shape[3] == geometry.c ? weights : widened(weights, geometry.c);
}

/// Where the rows that are here are all there are.
void require_variance(const ConvTerm& term) {
  if (term.rows() != 1 || term.share.ranks) return;
  throw UserError(fmt::format("batch_norm: {} gets one value per channel, which has no variance; use a larger batch or image",
                              term.layer.norm.weight->name));
}

void make_statistics(Device& device, ConvTerm& term) {
  for (Tensor* of : {&term.mean, &term.invstd}) *of = Tensor::empty(device, {term.channels()});
}

void make_scale_and_bias(Device& device, ConvTerm& term) {
  for (Tensor* of : {&term.scale, &term.bias}) *of = Tensor::empty(device, {term.channels()}, DType::f16);
}

void batch_statistics(Device& device, ConvTerm& term) {
  require_variance(term);
  make_statistics(device, term);
  const Tensor scratch = Tensor::workspace(device, kernels::batch_norm_workspace(term.rows(), term.channels()));
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

/// The same from the sums that the convolution has gathered, and the affine form.
void finish_statistics(Device& device, ConvTerm& term, const Tensor& sums) {
  const std::int64_t channels = term.channels();
  make_statistics(device, term);
  make_scale_and_bias(device, term);
  const BatchNorm& norm = term.layer.norm;
  const kernels::BatchNormFinishArgs args{.rows = term.rows(),
                                          .channels = channels,
                                          .sums = sums.data<float>(),
                                          .gamma = norm.weight->value.data<float>(),
                                          .beta = norm.bias->value.data<float>(),
                                          .running_mean = norm.running_mean->value.data<float>(),
                                          .running_var = norm.running_var->value.data<float>(),
                                          .mean = term.mean.data<float>(),
                                          .invstd = term.invstd.data<float>(),
                                          .scale = term.scale.data<kernels::f16>(),
                                          .bias = term.bias.data<kernels::f16>(),
                                          .eps = BatchNorm::kEpsilon,
                                          .momentum = BatchNorm::kMomentum};
  device.run([&](auto exec) { kernels::batch_norm_finish(args, exec); });
}

/// x as the convolution reads it. A convolution normalises a block's result itself where it can. The first reader later masks
/// and sums its gradient: gradients of all other readers have come by then.
Tensor fused_input(const Var& x, ConvTerm& term, InputNorm& norm) {
  const auto source = std::dynamic_pointer_cast<NormResult>(x.deferred());
  const bool first = source && source->unread(), joins = source && source->joins();
  term.masks = first && (!joins || joins_gradient(term.geometry));
  const bool normalises = source && !source->stored() && (!joins || (first && joins_input(term.geometry)));
  if (term.masks || normalises) term.source = source;
  if (!normalises) return term.x = x.value();
  norm = source->input_norm();
  term.x = norm.activation;
  return source->main.y;
}

void convolve_fused(Tape& tape, const Var& x, ConvTerm& term) {
  Device& device = tape.device();
  if (term.share.ranks)
    throw UserError("conv_pipeline=on normalises with one rank's rows; set ranks.sync_batch_norm=false, or conv_pipeline=off");
  require_variance(term);
  InputNorm norm;
  const Tensor in = fused_input(x, term, norm);
  const Tensor sums = Tensor::empty(device, {2, term.channels()});
  device.backend().conv_forward_normal(term.geometry, in, norm, term.weights, term.y, sums);
  finish_statistics(device, term, sums);
}

Tensor remade(NormResult& source) {
  const LedgerRepeat repeat(source.main.y.device().ledger());
  return source.make({});
}

void weight_gradient(const ConvTerm& term, const Tensor& d_y) {
  Parameter& weight = *term.layer.weight;
  Backend& backend = d_y.device().backend();
  const GradMode mode = weight.grad_mode();
  if (mode == GradMode::skip) return;
  if (!term.x.defined() && term.source->main.scale.defined()) {
    const ConvTerm& from = term.source->main;
    return backend.conv_backward_weight_normal(term.geometry, from.y, {.scale = from.scale, .bias = from.bias}, d_y,
                                               weight.grad, mode);
  }
  const Tensor x = term.x.defined() ? term.x : remade(*term.source);
  if (term.geometry.c == weight.shape[3]) return backend.conv_backward_weight(term.geometry, x, d_y, weight.grad, mode);
  const Tensor wide = Tensor::empty(d_y.device(), term.geometry.weight_shape(), weight.grad.dtype(), Tag::workspace);
  backend.conv_backward_weight(term.geometry, x, d_y, wide, GradMode::overwrite);
  const kernels::CopyColumnsArgs args{.rows = wide.numel() / term.geometry.c,
                                      .columns = weight.shape[3],
                                      .dtype = wide.dtype(),
                                      .from = wide.raw(),
                                      .from_stride = term.geometry.c,
                                      .to = weight.grad.raw(),
                                      .to_stride = weight.shape[3],
                                      .mode = mode};
  d_y.device().run([&](auto exec) { kernels::copy_columns(args, exec); });
}

}  // namespace

NormTerm ConvTerm::normal() const {
  const BatchNorm& norm = layer.norm;
  return {.x = y.raw(),
          .gamma = norm.weight->value.data<float>(),
          .beta = norm.bias->value.data<float>(),
          .mean = mean.defined() ? mean.data<float>() : norm.running_mean->value.data<float>(),
          .spread = invstd.defined() ? invstd.data<float>() : norm.running_var->value.data<float>()};
}

GatheredNorm ConvTerm::gathered(const Tensor& sums) const {
  return {
      .x = y, .mean = mean, .invstd = invstd, .gamma = layer.norm.weight->value, .beta = layer.norm.bias->value, .sums = sums};
}

NormGradient ConvTerm::gradient(const Tensor& d_y, const Tensor& own) const {
  if (own.defined())
    return {
        .d_x = d_y.raw(), .d_gamma = own.data<float>(), .d_beta = own.data<float>() + channels(), .mode = GradMode::overwrite};
  const GradMode mode = layer.norm.weight->grad_mode();
  layer.norm.bias->grad_mode();
  return {.d_x = d_y.defined() ? d_y.raw() : nullptr,
          .d_gamma = layer.norm.weight->grad.data<float>(),
          .d_beta = layer.norm.bias->grad.data<float>(),
          .mode = mode};
}

void ConvTerm::join(const Tensor& own, const Tensor& d_y) const {
  if (!own.defined()) return;
  joint_gradient(
      share, layer.norm,
      {.rows = rows(), .positions = y.size(1) * y.size(2), .channels = channels(), .main = normal(), .own = own, .d_x = d_y});
}

Tensor NormResult::make(const Tensor& residual_value) {
  Device& device = main.y.device();
  // Only a backward pass needs the convolution's result again.
  const Tensor y = differentiates ? Tensor::empty(device, main.y.shape(), main.y.dtype()) : main.y;
  if (differentiates && joins() && activation == Activation::relu)
    mask = Tensor::empty(device, {main.rows(), (main.channels() + 7) / 8}, DType::u8);
  const kernels::BatchNormApplyArgs args{.rows = main.rows(),
                                         .channels = main.channels(),
                                         .dtype = y.dtype(),
                                         .main = main.normal(),
                                         .shortcut = shortcut ? shortcut->normal() : NormTerm{},
                                         .residual = has_residual ? residual_value.raw() : nullptr,
                                         .y = y.raw(),
                                         .mask = mask.defined() ? mask.data<std::uint8_t>() : nullptr,
                                         .activation = activation,
                                         .spread = training ? kernels::Spread::inverse_deviation : kernels::Spread::variance,
                                         .eps = BatchNorm::kEpsilon};
  device.run([&](auto exec) { kernels::batch_norm_apply(args, exec); });
  return y;
}

const Tensor& NormResult::value() {
  read_ = true;
  if (!value_.defined()) value_ = make(residual);
  return value_;
}

InputNorm NormResult::input_norm() {
  InputNorm norm{.scale = main.scale, .bias = main.bias, .counted = pooled || read_};
  read_ = true;
  if (!joins()) return norm;
  norm.residual = shortcut ? shortcut->y : residual;
  if (shortcut) norm.residual_scale = shortcut->scale, norm.residual_bias = shortcut->bias;
  norm.activation = value_ = Tensor::empty(main.y.device(), main.y.shape(), main.y.dtype());
  return norm;
}

OutputMask NormResult::output_mask() {
  const auto make_sums = [&] { return Tensor::empty(main.y.device(), {GatheredNorm::kSums, main.channels()}); };
  sums = make_sums();
  OutputMask out{.main = main.gathered(sums), .shortcut = {}, .residual = residual, .skip = {}, .counted = pooled};
  if (shortcut) out.shortcut = shortcut->gathered(shortcut_sums = make_sums());
  return out;
}

void make_affine(Device& device, ConvTerm& term) {
  make_scale_and_bias(device, term);
  const kernels::BatchNormAffineArgs args{.channels = term.channels(),
                                          .term = term.normal(),
                                          .scale = term.scale.data<kernels::f16>(),
                                          .bias = term.bias.data<kernels::f16>()};
  device.run([&](auto exec) { kernels::batch_norm_affine(args, exec); });
}

ConvTerm convolve(Tape& tape, const Var& x, const ConvNorm& layer, Gather gather) {
  Backend& backend = tape.device().backend();
  const ConvGeometry geometry = geometry_of(backend, x, layer);
  ConvTerm term{.layer = layer,
                .geometry = geometry,
                .weights = conv_weights(tape, *layer.weight, geometry),
                .y = Tensor::empty(tape.device(), geometry.output_shape(), geometry.dtype),
                .share = tape.share().norm == NormScope::batch ? tape.share() : BatchShare{}};
  if (gather == Gather::where_fused && tape.training() && backend.fuses_norms(geometry.dtype)) {
    convolve_fused(tape, x, term);
  } else {
    term.x = x.value();
    backend.conv_forward(geometry, term.x, term.weights, term.y);
    if (tape.training()) batch_statistics(tape.device(), term);
    term.source = std::dynamic_pointer_cast<NormResult>(x.remade_by());
    if (term.source) term.x = {};
  }
  if (!tape.gradients_enabled()) term.x = {}, term.source = nullptr;
  return term;
}

void convolve_backward(const ConvTerm& term, const Tensor& d_y, InputGradients& gradients, int input) {
  weight_gradient(term, d_y);
  if (!gradients.needs(input)) return;
  Backend& backend = d_y.device().backend();
  const Tensor d_x = Tensor::empty(d_y.device(), term.geometry.input_shape(), term.geometry.dtype);
  if (!term.masks) {
    backend.conv_backward_data(term.geometry, d_y, term.weights, d_x);
    return gradients.add(input, d_x);
  }
  const Tensor skip = gradients.take(input);
  if (skip.defined() && !joins_gradient(term.geometry)) {
    backend.conv_backward_data(term.geometry, d_y, term.weights, d_x);
    gradients.add(input, skip);
    return gradients.add(input, d_x);
  }
  OutputMask mask = term.source->output_mask();
  mask.skip = skip;
  backend.conv_backward_data_masked(term.geometry, d_y, term.weights, mask, d_x);
  gradients.add(input, d_x);
}

}  // namespace swath
