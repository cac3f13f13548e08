#include "engine/autograd/joint_norm.h"

#include "engine/dist/communicator.h"
#include "kernels/batch_norm_join.h"
#include "kernels/elementwise.h"

namespace swath {

void joint_statistics(Device& device, const BatchShare& share, const kernels::BatchNormStatisticsArgs& own,
                      std::int64_t positions) {
  Communicator& ranks = *share.ranks;
  const std::int64_t channels = own.channels;
  const Tensor moments = Tensor::zeros(device, {ranks.size(), 2 * channels}, DType::f32, Tag::workspace);
  kernels::BatchNormStatisticsArgs here = own;
  // With a momentum of 1 the running statistics are the batch's.
  here.momentum = 1;
  here.running_mean = moments.data<float>() + ranks.rank() * 2 * channels;
  here.running_var = here.running_mean + channels;
  device.run([&](auto exec) { kernels::batch_norm_statistics(here, exec); });
  ranks.all_gather_rows(moments);
  const kernels::BatchNormJoinArgs join{.images = share.rows,
                                        .positions = positions,
                                        .slices = ranks.size(),
                                        .channels = channels,
                                        .moments = moments.data<float>(),
                                        .running_mean = own.running_mean,
                                        .running_var = own.running_var,
                                        .mean = own.mean,
                                        .invstd = own.invstd,
                                        .eps = own.eps,
                                        .momentum = own.momentum};
  device.run([&](auto exec) { kernels::batch_norm_join(join, exec); });
}

namespace {

void give(Parameter& parameter, const Tensor& gradient) {
  const GradMode mode = parameter.grad_mode();
  if (mode == GradMode::skip) return;
  if (mode == GradMode::overwrite) return parameter.grad.copy_from(gradient);
  const kernels::AddArgs sum{
      .n = gradient.numel(), .a = parameter.grad.raw(), .b = gradient.raw(), .out = parameter.grad.raw()};
  gradient.device().run([&](auto exec) { kernels::add(sum, exec); });
}

}  // namespace

void joint_gradient(const BatchShare& share, const BatchNorm& norm, const JointGradient& gradient) {
  const std::int64_t channels = gradient.channels;
  give(*norm.weight, gradient.own.rows(0, 1).view({channels}));
  give(*norm.bias, gradient.own.rows(1, 2).view({channels}));
  const Tensor total = gradient.own.clone(Tag::workspace);
  share.ranks->all_reduce(total);
  const kernels::BatchNormJoinBackwardArgs args{.rows = gradient.rows,
                                                .total_rows = share.rows * gradient.positions,
                                                .channels = channels,
                                                .dtype = gradient.d_x.dtype(),
                                                .main = gradient.main,
                                                .own = gradient.own.data<float>(),
                                                .total = total.data<float>(),
                                                .d_x = gradient.d_x.raw()};
  gradient.d_x.device().run([&](auto exec) { kernels::batch_norm_join_backward(args, exec); });
}

}  // namespace swath
