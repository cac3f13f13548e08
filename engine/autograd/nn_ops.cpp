#include "engine/autograd/nn_ops.h"

#include "engine/nn/init.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/pool.h"

namespace swath {

namespace {

Tensor workspace(Device& device, std::size_t bytes) {
  return Tensor::empty(device, {static_cast<std::int64_t>(bytes)}, DType::u8, Tag::workspace);
}

void require_activation(const char* op, const Var& x) {
  if (x.shape().rank() != 4) throw UserError(fmt::format("{} takes N×H×W×C, not {}", op, x.shape().str()));
}

}  // namespace

Var conv2d(Tape& tape, const Var& x, Parameter& weight, ConvOptions options) {
  require_activation("conv2d", x);
  const Shape &in = x.shape(), &w = weight.shape;
  if (w.rank() != 4 || w[3] != in[3])
    throw UserError(fmt::format("conv2d: {} is {} but the input has {} channels", weight.name, w.str(), in[3]));
  const ConvGeometry geometry{.n = in[0],
                              .h = in[1],
                              .w = in[2],
                              .c = in[3],
                              .k = w[0],
                              .r = w[1],
                              .s = w[2],
                              .stride = options.stride,
                              .pad = options.pad,
                              .dtype = x.value().dtype()};
  if (geometry.out_h() < 1 || geometry.out_w() < 1)
    throw UserError(fmt::format("conv2d: an image of {}×{} is too small", in[1], in[2]));
  Backend& backend = tape.device().backend();
  const Tensor y = Tensor::empty(tape.device(), geometry.output_shape(), geometry.dtype);
  backend.conv_forward(geometry, x.value(), weight.value, y);
  return tape.record("conv2d", y, {x}, weight.trainable == Trainable::yes,
                     [&backend, &weight, geometry, input = x.value()](Tensor d_y, InputGradients& gradients) {
                       const GradMode mode = weight.grad_mode();
                       if (mode != GradMode::skip) backend.conv_backward_weight(geometry, input, d_y, weight.grad, mode);
                       if (!gradients.needs(0)) return;
                       const Tensor d_x = Tensor::empty(d_y.device(), geometry.input_shape(), geometry.dtype);
                       backend.conv_backward_data(geometry, d_y, weight.value, d_x);
                       gradients.add(0, d_x);
                     });
}

BatchNorm BatchNorm::declare(ParameterBlock& block, const std::string& name, std::int64_t channels, ParameterGroup group) {
  return {&block.declare(name + ".weight", {channels}, group, constant_init(1)),
          &block.declare(name + ".bias", {channels}, group, constant_init(0)),
          &block.declare_buffer(name + ".running_mean", {channels}, constant_init(0)),
          &block.declare_buffer(name + ".running_var", {channels}, constant_init(1))};
}

namespace {

Tensor batch_norm_eval(Device& device, const Tensor& x, const BatchNorm& norm, Activation activation, const Tensor& residual) {
  const Tensor y = Tensor::empty(device, x.shape(), x.dtype());
  const std::int64_t channels = x.size(3);
  const kernels::BatchNormInferenceArgs args{.rows = x.numel() / channels,
                                             .channels = channels,
                                             .dtype = x.dtype(),
                                             .x = x.raw(),
                                             .residual = residual.defined() ? residual.raw() : nullptr,
                                             .gamma = norm.weight->value.data<float>(),
                                             .beta = norm.bias->value.data<float>(),
                                             .running_mean = norm.running_mean->value.data<float>(),
                                             .running_var = norm.running_var->value.data<float>(),
                                             .y = y.raw(),
                                             .activation = activation,
                                             .eps = BatchNorm::kEpsilon};
  device.run([&](auto exec) { kernels::batch_norm_inference(args, exec); });
  return y;
}

/// What the backward pass of a batch normalisation needs.
struct SavedNorm {
  BatchNorm norm;
  Activation activation;
  bool has_residual;
  Tensor x;
  Tensor y;  // only where the ReLU mask cannot be recomputed from x
  Tensor mean, invstd;
};

void batch_norm_backward(const SavedNorm& saved, const Tensor& d_y, InputGradients& gradients) {
  Device& device = d_y.device();
  const std::int64_t channels = saved.x.size(3);
  const GradMode mode = saved.norm.weight->grad_mode();
  saved.norm.bias->grad_mode();
  // The residual's gradient takes over d_y's memory; without one, d_x does.
  const bool wants_x = gradients.needs(0);
  const Tensor d_x = !wants_x ? Tensor() : saved.has_residual ? Tensor::empty(device, saved.x.shape(), saved.x.dtype()) : d_y;
  kernels::BatchNormBackwardArgs args{.rows = saved.x.numel() / channels,
                                      .channels = channels,
                                      .dtype = saved.x.dtype(),
                                      .d_y = d_y.raw(),
                                      .x = saved.x.raw(),
                                      .y = saved.y.defined() ? saved.y.raw() : nullptr,
                                      .gamma = saved.norm.weight->value.data<float>(),
                                      .beta = saved.norm.bias->value.data<float>(),
                                      .saved_mean = saved.mean.data<float>(),
                                      .saved_invstd = saved.invstd.data<float>(),
                                      .d_x = wants_x ? d_x.raw() : nullptr,
                                      .d_residual = saved.has_residual ? d_y.raw() : nullptr,
                                      .d_gamma = saved.norm.weight->grad.data<float>(),
                                      .d_beta = saved.norm.bias->grad.data<float>(),
                                      .parameter_mode = mode,
                                      .activation = saved.activation};
  const Tensor scratch = workspace(device, kernels::batch_norm_backward_workspace(args));
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::batch_norm_backward(args, exec); });
  if (wants_x) gradients.add(0, d_x);
  if (saved.has_residual) gradients.add(1, d_y);
}

}  // namespace

Var batch_norm(Tape& tape, const Var& x, const BatchNorm& norm, Activation activation, const Var& residual) {
  require_activation("batch_norm", x);
  Device& device = tape.device();
  const Tensor& input = x.value();
  const bool has_residual = residual.value().defined();
  SWATH_CHECK(!has_residual || residual.shape() == x.shape());
  const std::int64_t channels = input.size(3);
  if (norm.weight->shape[0] != channels)
    throw UserError(
        fmt::format("batch_norm: {} has {} channels, the input {}", norm.weight->name, norm.weight->shape[0], channels));
  if (!tape.training()) return Var(batch_norm_eval(device, input, norm, activation, residual.value()));
  if (input.numel() == channels)
    throw UserError(fmt::format("batch_norm: {} gets one value per channel, which has no variance; use a larger batch or image",
                                norm.weight->name));

  SavedNorm saved{.norm = norm,
                  .activation = activation,
                  .has_residual = has_residual,
                  .x = input,
                  .y = {},
                  .mean = Tensor::empty(device, {channels}),
                  .invstd = Tensor::empty(device, {channels})};
  const Tensor y = Tensor::empty(device, input.shape(), input.dtype());
  kernels::BatchNormTrainingArgs args{.rows = input.numel() / channels,
                                      .channels = channels,
                                      .dtype = input.dtype(),
                                      .x = input.raw(),
                                      .residual = has_residual ? residual.value().raw() : nullptr,
                                      .gamma = norm.weight->value.data<float>(),
                                      .beta = norm.bias->value.data<float>(),
                                      .running_mean = norm.running_mean->value.data<float>(),
                                      .running_var = norm.running_var->value.data<float>(),
                                      .saved_mean = saved.mean.data<float>(),
                                      .saved_invstd = saved.invstd.data<float>(),
                                      .y = y.raw(),
                                      .activation = activation,
                                      .eps = BatchNorm::kEpsilon,
                                      .momentum = BatchNorm::kMomentum};
  {
    const Tensor scratch = workspace(device, kernels::batch_norm_training_workspace(args));
    args.workspace = scratch.raw();
    device.run([&](auto exec) { kernels::batch_norm_training(args, exec); });
  }
  if (has_residual && activation == Activation::relu) saved.y = y;
  const Backward backward = [saved = std::move(saved)](Tensor d_y, InputGradients& gradients) {
    batch_norm_backward(saved, d_y, gradients);
  };
  const bool trains = norm.weight->trainable == Trainable::yes;
  return has_residual ? tape.record("batch_norm", y, {x, residual}, trains, backward)
                      : tape.record("batch_norm", y, {x}, trains, backward);
}

Var max_pool(Tape& tape, const Var& x, PoolOptions options) {
  require_activation("max_pool", x);
  Device& device = tape.device();
  const Shape in = x.shape();
  const DType dtype = x.value().dtype();
  kernels::MaxPoolArgs args{.n = in[0],
                            .height = in[1],
                            .width = in[2],
                            .channels = in[3],
                            .window = options.kernel,
                            .stride = options.stride,
                            .pad = options.pad,
                            .dtype = dtype,
                            .x = x.value().raw()};
  const Shape out{in[0], args.out_height(), args.out_width(), in[3]};
  const Tensor y = Tensor::empty(device, out, dtype);
  const Tensor index = Tensor::empty(device, out, DType::u8);
  args.y = y.raw();
  args.index = index.data<std::uint8_t>();
  device.run([&](auto exec) { kernels::max_pool(args, exec); });
  return tape.record("max_pool", y, {x}, false, [in, options, index, dtype](Tensor d_y, InputGradients& gradients) {
    const Tensor d_x = Tensor::empty(d_y.device(), in, dtype);
    const kernels::MaxPoolBackwardArgs backward{.n = in[0],
                                                .height = in[1],
                                                .width = in[2],
                                                .channels = in[3],
                                                .window = options.kernel,
                                                .stride = options.stride,
                                                .pad = options.pad,
                                                .dtype = dtype,
                                                .d_y = d_y.raw(),
                                                .index = index.data<std::uint8_t>(),
                                                .d_x = d_x.raw()};
    d_y.device().run([&](auto exec) { kernels::max_pool_backward(backward, exec); });
    gradients.add(0, d_x);
  });
}

Var global_average_pool(Tape& tape, const Var& x) {
  require_activation("global_average_pool", x);
  const Shape in = x.shape();
  const DType dtype = x.value().dtype();
  const Tensor y = Tensor::empty(tape.device(), {in[0], in[3]});
  const kernels::AveragePoolArgs args{
      .n = in[0], .positions = in[1] * in[2], .channels = in[3], .dtype = dtype, .x = x.value().raw(), .y = y.data<float>()};
  tape.device().run([&](auto exec) { kernels::average_pool(args, exec); });
  return tape.record("global_average_pool", y, {x}, false, [in, dtype](Tensor d_y, InputGradients& gradients) {
    const Tensor d_x = Tensor::empty(d_y.device(), in, dtype);
    const kernels::AveragePoolBackwardArgs backward{
        .n = in[0], .positions = in[1] * in[2], .channels = in[3], .dtype = dtype, .d_y = d_y.data<float>(), .d_x = d_x.raw()};
    d_y.device().run([&](auto exec) { kernels::average_pool_backward(backward, exec); });
    gradients.add(0, d_x);
  });
}

Var dropout(Tape& tape, const Var& x, float p, RandomKey key) {
  if (!tape.training() || p == 0) return x;
  if (!(p > 0 && p < 1)) throw UserError(fmt::format("dropout needs a probability in [0, 1), not {}", p));
  const std::int64_t columns = x.shape()[x.shape().rank() - 1];
  const auto apply = [columns, p, key](const Tensor& from, const Tensor& to) {
    const kernels::DropoutArgs args{.rows = columns ? from.numel() / columns : 0,
                                    .columns = columns,
                                    .dtype = from.dtype(),
                                    .x = from.raw(),
                                    .y = to.raw(),
                                    .keep = 1 - p,
                                    .seed = key.seed,
                                    .step = key.step};
    from.device().run([&](auto exec) { kernels::dropout(args, exec); });
  };
  const Tensor y = Tensor::empty(tape.device(), x.shape(), x.value().dtype());
  apply(x.value(), y);
  return tape.record("dropout", y, {x}, false, [apply](Tensor d_y, InputGradients& gradients) {
    apply(d_y, d_y);
    gradients.add(0, d_y);
  });
}

Var linear(Tape& tape, const Var& x, Parameter& weight, Parameter& bias) {
  const std::int64_t rows = x.shape()[0], in = weight.shape[1], out = weight.shape[0];
  if (x.shape().rank() != 2 || x.shape()[1] != in)
    throw UserError(fmt::format("linear: {} takes {} columns, not {}", weight.name, in, x.shape().str()));
  Backend& backend = tape.device().backend();
  const Tensor y = Tensor::empty(tape.device(), {rows, out});
  backend.gemm({.m = rows,
                .n = out,
                .k = in,
                .a = x.value().data<float>(),
                .b = weight.value.data<float>(),
                .c = y.data<float>(),
                .lda = in,
                .ldb = in,
                .ldc = out,
                .op_b = Gemm::Op::transposed,
                .bias = bias.value.data<float>()});
  return tape.record("linear", y, {x}, weight.trainable == Trainable::yes,
                     [&backend, &weight, &bias, rows, in, out, input = x.value()](Tensor d_y, InputGradients& gradients) {
                       const GradMode weight_mode = weight.grad_mode(), bias_mode = bias.grad_mode();
                       if (weight_mode != GradMode::skip) {
                         backend.gemm({.m = out,
                                       .n = in,
                                       .k = rows,
                                       .a = d_y.data<float>(),
                                       .b = input.data<float>(),
                                       .c = weight.grad.data<float>(),
                                       .lda = out,
                                       .ldb = in,
                                       .ldc = in,
                                       .op_a = Gemm::Op::transposed,
                                       .beta = weight_mode == GradMode::accumulate ? 1.0f : 0.0f});
                       }
                       const kernels::ColumnSumsArgs sums{
                           .rows = rows, .columns = out, .x = d_y.raw(), .sums = bias.grad.data<float>(), .mode = bias_mode};
                       if (bias_mode != GradMode::skip) d_y.device().run([&](auto exec) { kernels::column_sums(sums, exec); });
                       if (!gradients.needs(0)) return;
                       const Tensor d_x = Tensor::empty(d_y.device(), {rows, in});
                       backend.gemm({.m = rows,
                                     .n = in,
                                     .k = out,
                                     .a = d_y.data<float>(),
                                     .b = weight.value.data<float>(),
                                     .c = d_x.data<float>(),
                                     .lda = out,
                                     .ldb = in,
                                     .ldc = in});
                       gradients.add(0, d_x);
                     });
}

Var add(Tape& tape, const Var& a, const Var& b) {
  SWATH_CHECK(a.shape() == b.shape() && a.value().dtype() == b.value().dtype());
  const Tensor y = Tensor::empty(tape.device(), a.shape(), a.value().dtype());
  const kernels::AddArgs args{.n = y.numel(), .dtype = y.dtype(), .a = a.value().raw(), .b = b.value().raw(), .out = y.raw()};
  tape.device().run([&](auto exec) { kernels::add(args, exec); });
  return tape.record("add", y, {a, b}, false, [](Tensor d_y, InputGradients& gradients) {
    if (gradients.needs(0) && gradients.needs(1))
      gradients.add(0, d_y.clone());
    else
      gradients.add(0, d_y);
    gradients.add(1, d_y);
  });
}

Var scale(Tape& tape, const Var& x, float factor) {
  const Tensor y = Tensor::empty(tape.device(), x.shape(), x.value().dtype());
  const kernels::ScaleArgs args{.n = y.numel(), .dtype = y.dtype(), .x = x.value().raw(), .out = y.raw(), .factor = factor};
  tape.device().run([&](auto exec) { kernels::scale(args, exec); });
  return tape.record("scale", y, {x}, false, [factor](Tensor d_y, InputGradients& gradients) {
    const kernels::ScaleArgs back{.n = d_y.numel(), .dtype = d_y.dtype(), .x = d_y.raw(), .out = d_y.raw(), .factor = factor};
    d_y.device().run([&](auto exec) { kernels::scale(back, exec); });
    gradients.add(0, d_y);
  });
}

Var relu(Tape& tape, const Var& x) {
  const Tensor y = Tensor::empty(tape.device(), x.shape(), x.value().dtype());
  const kernels::ReluArgs args{.n = y.numel(), .dtype = y.dtype(), .x = x.value().raw(), .y = y.raw()};
  tape.device().run([&](auto exec) { kernels::relu(args, exec); });
  return tape.record("relu", y, {x}, false, [y](Tensor d_y, InputGradients& gradients) {
    const kernels::ReluBackwardArgs backward{
        .n = y.numel(), .dtype = y.dtype(), .d_y = d_y.raw(), .y = y.raw(), .d_x = d_y.raw()};
    y.device().run([&](auto exec) { kernels::relu_backward(backward, exec); });
    gradients.add(0, d_y);
  });
}

}  // namespace swath
