#include "engine/autograd/row_ops.h"

#include "kernels/columns.h"
#include "kernels/elementwise.h"
#include "kernels/gather_rows.h"
#include "kernels/row_normalize.h"

namespace swath {

Var normalize_rows(Tape& tape, const Var& x) {
  const std::int64_t rows = x.shape()[0], cols = x.shape()[1];
  Device& device = tape.device();
  const Tensor y = Tensor::empty(device, x.shape());
  const Tensor inv_norm = Tensor::empty(device, {rows});
  const kernels::RowNormalizeArgs args{.x = x.value().data<float>(),
                                       .y = y.data<float>(),
                                       .inv_norm = inv_norm.data<float>(),
                                       .rows = rows,
                                       .cols = cols,
                                       .x_ld = cols,
                                       .y_ld = cols};
  device.run([&](auto exec) { kernels::row_normalize(args, exec); });
  return tape.record("normalize_rows", y, {x}, false, [y, inv_norm, rows, cols](Tensor d_y, InputGradients& gradients) {
    const kernels::RowNormalizeBackwardArgs backward{.y = y.data<float>(),
                                                     .d_y = d_y.data<float>(),
                                                     .inv_norm = inv_norm.data<float>(),
                                                     .d_x = d_y.data<float>(),
                                                     .rows = rows,
                                                     .cols = cols,
                                                     .y_ld = cols,
                                                     .d_y_ld = cols,
                                                     .d_x_ld = cols};
    d_y.device().run([&](auto exec) { kernels::row_normalize_backward(backward, exec); });
    gradients.add(0, d_y);
  });
}

Var concat_columns(Tape& tape, const std::vector<Var>& parts) {
  SWATH_CHECK(!parts.empty());
  if (parts.size() == 1) return parts.front();
  const std::int64_t rows = parts.front().shape()[0];
  std::vector<std::int64_t> widths;
  std::int64_t total = 0;
  for (const Var& part : parts) {
    SWATH_CHECK(part.shape().rank() == 2 && part.shape()[0] == rows);
    widths.push_back(part.shape()[1]);
    total += part.shape()[1];
  }
  const Tensor y = Tensor::empty(tape.device(), {rows, total});
  const auto copy = [rows](const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride, std::int64_t columns,
                           const Device& device) {
    const kernels::CopyColumnsArgs args{
        .rows = rows, .columns = columns, .from = from, .from_stride = from_stride, .to = to, .to_stride = to_stride};
    device.run([&](auto exec) { kernels::copy_columns(args, exec); });
  };
  std::int64_t begin = 0;
  for (const Var& part : parts) {
    copy(part.value().data<float>(), part.shape()[1], y.data<float>() + begin, total, part.shape()[1], tape.device());
    begin += part.shape()[1];
  }
  return tape.record("concat_columns", y, parts, false, [copy, rows, widths, total](Tensor d_y, InputGradients& gradients) {
    std::int64_t first = 0;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (gradients.needs(static_cast<int>(i))) {
        const Tensor d_part = Tensor::empty(d_y.device(), {rows, widths[i]});
        copy(d_y.data<float>() + first, total, d_part.data<float>(), widths[i], widths[i], d_y.device());
        gradients.add(static_cast<int>(i), d_part);
      }
      first += widths[i];
    }
  });
}

Var slice_columns(Tape& tape, const Var& x, std::int64_t begin, std::int64_t width) {
  const std::int64_t rows = x.shape()[0], cols = x.shape()[1];
  SWATH_CHECK(begin >= 0 && width >= 0 && begin + width <= cols);
  const Tensor y = Tensor::empty(tape.device(), {rows, width});
  const kernels::CopyColumnsArgs args{.rows = rows,
                                      .columns = width,
                                      .from = x.value().data<float>() + begin,
                                      .from_stride = cols,
                                      .to = y.raw(),
                                      .to_stride = width};
  tape.device().run([&](auto exec) { kernels::copy_columns(args, exec); });
  return tape.record("slice_columns", y, {x}, false, [rows, cols, begin, width](Tensor d_y, InputGradients& gradients) {
    const Tensor d_x = Tensor::zeros(d_y.device(), {rows, cols});
    const kernels::CopyColumnsArgs back{.rows = rows,
                                        .columns = width,
                                        .from = d_y.raw(),
                                        .from_stride = width,
                                        .to = d_x.data<float>() + begin,
                                        .to_stride = cols};
    d_y.device().run([&](auto exec) { kernels::copy_columns(back, exec); });
    gradients.add(0, d_x);
  });
}

Var reverse_gradient(Tape& tape, const Var& x) {
  return tape.record("reverse_gradient", x.value(), {x}, false, [](Tensor d_y, InputGradients& gradients) {
    const kernels::ScaleArgs negate{.n = d_y.numel(), .x = d_y.raw(), .out = d_y.raw(), .factor = -1};
    d_y.device().run([&](auto exec) { kernels::scale(negate, exec); });
    gradients.add(0, d_y);
  });
}

Var gather_rows(Tape& tape, const Var& x, const Tensor& index) {
  const std::int64_t x_rows = x.shape()[0], cols = x.shape()[1], rows = index.numel();
  const Tensor y = Tensor::empty(tape.device(), {rows, cols});
  const kernels::GatherRowsArgs args{.x = x.value().data<float>(),
                                     .index = index.data<std::int32_t>(),
                                     .out = y.data<float>(),
                                     .rows = rows,
                                     .cols = cols,
                                     .x_ld = cols,
                                     .out_ld = cols};
  tape.device().run([&](auto exec) { kernels::gather_rows(args, exec); });
  return tape.record("gather_rows", y, {x}, false, [index, x_rows, rows, cols](Tensor d_y, InputGradients& gradients) {
    const Tensor d_x = Tensor::empty(d_y.device(), {x_rows, cols});
    const kernels::ScatterAddRowsArgs backward{.d_out = d_y.data<float>(),
                                               .index = index.data<std::int32_t>(),
                                               .d_x = d_x.data<float>(),
                                               .rows = rows,
                                               .x_rows = x_rows,
                                               .cols = cols,
                                               .d_out_ld = cols,
                                               .d_x_ld = cols};
    d_y.device().run([&](auto exec) { kernels::scatter_add_rows(backward, exec); });
    gradients.add(0, d_x);
  });
}

}  // namespace swath
