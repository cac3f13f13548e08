#include "engine/autograd/nn_ops.h"

#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/pool.h"

namespace swath {

namespace {

void require_activation(const char* op, const Var& x) {
  if (x.shape().rank() != 4) throw UserError(fmt::format("{} takes N×H×W×C, not {}", op, x.shape().str()));
}

}  // namespace

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
                                    .step = key.step,
                                    .row_offset = key.first_row};
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
