#include "engine/autograd/conv_block.h"

#include "engine/autograd/conv_term.h"
#include "engine/nn/init.h"
#include "kernels/batch_norm_fused.h"
#include "kernels/batch_norm_pool.h"

namespace swath {

namespace {

/// Gradients of the convolutions' results, from the result's masked gradient and the sums that came with it.
void summed_backward(const NormResult& block, const Tensor& masked, const Tensor& d_main) {
  const ConvTerm& main = block.main;
  const auto input_of = [](const ConvTerm& term, const Tensor& sums, const Tensor& d_x) {
    return kernels::NormInput{.term = term.normal(), .sums = sums.data<float>(), .gradient = term.gradient(d_x, {})};
  };
  kernels::BatchNormInputArgs args{.rows = main.rows(),
                                   .channels = main.channels(),
                                   .dtype = main.y.dtype(),
                                   .d_y = masked.raw(),
                                   .main = input_of(main, block.sums, d_main),
                                   .shortcut = {}};
  if (block.shortcut) args.shortcut = input_of(*block.shortcut, block.shortcut_sums, masked);
  masked.device().run([&](auto exec) { kernels::batch_norm_input(args, exec); });
}

void convolutions_backward(const NormResult& block, const Tensor& d_main, const Tensor& d_y, InputGradients& gradients) {
  const auto main = [&] { convolve_backward(block.main, d_main, gradients, 0); };
  if (!block.reads_twice) main();
  if (block.shortcut) convolve_backward(*block.shortcut, d_y, gradients, 1);
  if (block.has_residual) gradients.add(1, d_y);
  // The first reader of a value has its gradient last.
  if (block.reads_twice) main();
}

void block_backward(const NormResult& block, const Tensor& d_y, const Tensor& more, InputGradients& gradients) {
  Device& device = d_y.device();
  const ConvTerm& main = block.main;
  const bool joins = block.joins();
  // The masked gradient takes over d_y, and the gradient of the shortcut's result takes that over in turn. Without either, the
  // gradient of the main result does.
  const Tensor d_main = joins ? Tensor::empty(device, main.y.shape(), main.y.dtype()) : d_y;
  if (block.sums.defined()) {
    SWATH_CHECK(!more.defined(), "a gradient beside one that is summed already");
    summed_backward(block, d_y, d_main);
    return convolutions_backward(block, d_main, d_y, gradients);
  }
  SWATH_CHECK(!joins || block.activation == Activation::none || block.mask.defined(), "no mask of a block's result");
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
    const Tensor scratch = Tensor::workspace(device, kernels::batch_norm_workspace(args.rows, args.channels));
    args.workspace = scratch.raw();
    device.run([&](auto exec) { kernels::batch_norm_backward(args, exec); });
  }
  main.join(sums, d_main);
  if (block.shortcut) block.shortcut->join(more_sums, d_y);
  convolutions_backward(block, d_main, d_y, gradients);
}

Var finish_block(Tape& tape, NormResult&& parts, const Var& x, const Var& second) {
  const auto block = std::make_shared<NormResult>(std::move(parts));
  block->training = tape.training();
  block->differentiates = tape.gradients_enabled();
  const bool relu = block->activation == Activation::relu, defers = block->main.scale.defined() && relu;
  const bool trains = block->main.trains() || (block->shortcut && block->shortcut->trains());
  block->reads_twice = second.deferred() && second.deferred() == x.deferred();
  if (defers && block->has_residual) block->residual = second.value();
  const Tensor y = defers ? block->main.y : block->make(block->has_residual ? second.value() : Tensor());
  const std::vector<Var> inputs = block->joins() ? std::vector<Var>{x, second} : std::vector<Var>{x};
  Var result = tape.record_pair("conv_norm", y, inputs, trains,
                                [block](const Tensor& d_y, const Tensor& more, InputGradients& gradients) {
                                  block_backward(*block, d_y, more, gradients);
                                });
  if (defers) result.defer(block);
  if (!defers && relu && !block->joins() && tape.remakes() && block->differentiates) result.remake(block);
  return result;
}

/// `result`: where readers normalise it, and may have gathered the sums; else null.
void pool_backward(const ConvTerm& term, const kernels::PoolGeometry& geometry, const Tensor& index, const NormResult* result,
                   const Tensor& d_y, const Tensor& more, InputGradients& gradients) {
  Device& device = d_y.device();
  const bool summed = result && result->sums.defined();
  SWATH_CHECK(!summed || !more.defined(), "a gradient beside one that is summed already");
  const Tensor d_conv = Tensor::empty(device, term.y.shape(), term.y.dtype());
  const Tensor sums = term.own_sums();
  {
    const Tensor scratch = Tensor::workspace(device, kernels::batch_norm_pool_workspace(geometry));
    const kernels::BatchNormPoolBackwardArgs args{.geometry = geometry,
                                                  .dtype = term.y.dtype(),
                                                  .d_y = d_y.raw(),
                                                  .d_y_second = more.defined() ? more.raw() : nullptr,
                                                  .index = index.data<std::uint8_t>(),
                                                  .main = term.normal(),
                                                  .d_main = term.gradient(d_conv, sums),
                                                  .sums = summed ? result->sums.data<float>() : nullptr,
                                                  .workspace = scratch.raw(),
                                                  .counters = device.counters(kernels::batch_norm_counters(term.channels()))};
    device.run([&](auto exec) { kernels::batch_norm_pool_backward(args, exec); });
  }
  term.join(sums, d_conv);
  convolve_backward(term, d_conv, gradients, 0);
}

/// The pooled result as what its readers normalise: maxima are the same before and after, but for the sign of γ, which the
/// choice of the winners has seen.
std::shared_ptr<NormResult> pooled_result(Tape& tape, const ConvTerm& term, const Tensor& winners) {
  const auto result = std::make_shared<NormResult>();
  result->main = term;
  result->main.x = {};
  result->main.y = winners;
  result->pooled = true;
  result->activation = Activation::relu;
  result->differentiates = tape.gradients_enabled();
  make_affine(tape.device(), result->main);
  return result;
}

}  // namespace

BatchNorm BatchNorm::declare(ParameterBlock& block, const std::string& name, std::int64_t channels, ParameterGroup group) {
  return {&block.declare(name + ".weight", {channels}, group, constant_init(1)),
          &block.declare(name + ".bias", {channels}, group, constant_init(0)),
          &block.declare_buffer(name + ".running_mean", {channels}, constant_init(0)),
          &block.declare_buffer(name + ".running_var", {channels}, constant_init(1))};
}

Var conv_norm(Tape& tape, const Var& x, const ConvNorm& layer, Activation activation) {
  NormResult block;
  block.main = convolve(tape, x, layer);
  block.activation = activation;
  return finish_block(tape, std::move(block), x, {});
}

Var conv_norm_add(Tape& tape, const Var& x, const ConvNorm& layer, const Var& residual) {
  NormResult block;
  block.main = convolve(tape, x, layer);
  block.has_residual = true;
  block.activation = Activation::relu;
  SWATH_CHECK(residual.shape() == block.main.y.shape(), "{} and {}", residual.shape().str(), block.main.y.shape().str());
  return finish_block(tape, std::move(block), x, residual);
}

Var conv_norm_add(Tape& tape, const Var& x, const ConvNorm& layer, const Var& from, const ConvNorm& shortcut) {
  NormResult block;
  block.main = convolve(tape, x, layer);
  block.shortcut = convolve(tape, from, shortcut);
  block.activation = Activation::relu;
  SWATH_CHECK(block.shortcut->y.shape() == block.main.y.shape(), "{} and {}", block.shortcut->y.shape().str(),
              block.main.y.shape().str());
  return finish_block(tape, std::move(block), x, from);
}

Var conv_norm_pool(Tape& tape, const Var& x, const ConvNorm& layer, PoolOptions pool) {
  Device& device = tape.device();
  const ConvTerm term = convolve(tape, x, layer, Gather::never);
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
  const bool defers = tape.training() && device.backend().fuses_norms(term.y.dtype());
  const kernels::BatchNormPoolArgs args{
      .geometry = geometry,
      .dtype = y.dtype(),
      .main = term.normal(),
      .y = defers ? nullptr : y.raw(),
      .winner = defers ? y.raw() : nullptr,
      .index = index.defined() ? index.data<std::uint8_t>() : nullptr,
      .spread = tape.training() ? kernels::Spread::inverse_deviation : kernels::Spread::variance,
      .eps = BatchNorm::kEpsilon};
  device.run([&](auto exec) { kernels::batch_norm_pool(args, exec); });
  const std::shared_ptr<NormResult> result = defers ? pooled_result(tape, term, y) : nullptr;
  Var pooled =
      tape.record_pair("conv_norm_pool", y, {x}, term.trains(),
                       [term, geometry, index, result](const Tensor& d_y, const Tensor& more, InputGradients& gradients) {
                         pool_backward(term, geometry, index, result.get(), d_y, more, gradients);
                       });
  if (defers) pooled.defer(result);
  return pooled;
}

}  // namespace swath
