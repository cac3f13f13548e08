// How an optimiser divides a block: frozen parameters, more stretches than one launch takes, each with its group's rates, and
// gradients of 16 bits beside those of float32.
#include "engine/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/device/device.h"
#include "engine/nn/init.h"
#include "kernels/half.h"

namespace swath {
namespace {

constexpr int kParameters = 21;
constexpr float kStart = 2, kGradient = 0.5f;
constexpr std::int64_t kSize = 70;

bool frozen(int i) { return i % 2 == 1; }

void declare(ParameterBlock& block) {
  for (int i = 0; i < kParameters; ++i) {
    const ParameterGroup group = i < 18 ? ParameterGroup::backbone : ParameterGroup::head;
    Parameter& parameter = block.declare("p" + std::to_string(i), {kSize}, group, constant_init(kStart));
    if (frozen(i)) parameter.trainable = Trainable::no;
  }
}

/// One step with all gradients kGradient; the value of each parameter's last element, after all were found equal.
std::vector<float> values_after(const OptimizerOptions& options) {
  const std::unique_ptr<Device> device = Device::open("cpu");
  ParameterBlock block;
  declare(block);
  block.allocate(*device);
  block.grads().copy_from_host(std::vector<float>(static_cast<std::size_t>(block.grads().numel()), kGradient).data());
  StepScalars scalars(*device);
  for (const ParameterGroup group : {ParameterGroup::backbone, ParameterGroup::head})
    scalars.set_learning_rate(group, options.group(group).lr);
  scalars.upload();
  Optimizer(block, options).step(scalars);
  std::vector<float> last;
  for (const Parameter& parameter : block.parameters()) {
    const auto values = parameter.value.to_host<float>();
    for (const float value : values) EXPECT_EQ(value, values.back()) << parameter.name;
    last.push_back(values.back());
  }
  return last;
}

OptimizerOptions options_of(const std::string& kind) {
  return {.kind = kind, .backbone = {.lr = 0.25f, .weight_decay = 0}, .head = {.lr = 0.5f, .weight_decay = 0.125}};
}

TEST(Optimizer, SgdUpdatesEveryTrainedStretchAndNoOther) {
  const std::vector<float> values = values_after(options_of("sgd"));
  for (int i = 0; i < kParameters; ++i) {
    const float step = i < 18 ? 0.25f * kGradient : 0.5f * (kGradient + 0.125f * kStart);
    EXPECT_EQ(values[static_cast<std::size_t>(i)], frozen(i) ? kStart : kStart - step) << i;
  }
}

// In Adam's first step every element moves by the learning rate.
TEST(Optimizer, AdamUpdatesEveryTrainedStretchAndNoOther) {
  const std::vector<float> values = values_after(options_of("adam"));
  for (int i = 0; i < kParameters; ++i)
    EXPECT_NEAR(values[static_cast<std::size_t>(i)], frozen(i) ? kStart : kStart - (i < 18 ? 0.25f : 0.5f), 1e-6f) << i;
}

/// Convolutions and others by turns, in two groups; the last convolution is frozen.
void declare_convolutions(ParameterBlock& block) {
  for (int i = 0; i < 8; ++i) {
    const Shape shape = i % 2 == 0 ? Shape{5, 3, 3, 3} : Shape{kSize};
    Parameter& parameter = block.declare("p" + std::to_string(i), shape,
                                         i < 6 ? ParameterGroup::backbone : ParameterGroup::head, constant_init(kStart));
    if (i == 4) parameter.trainable = Trainable::no;
  }
}

bool is_convolution(const Parameter& parameter) { return parameter.shape.rank() == 4; }

/// Gradients of 1 for convolutions, of kGradient for others.
void write_gradients(ParameterBlock& block) {
  for (Parameter& p : block.parameters()) {
    if (p.grad_mode() == GradMode::skip) continue;
    const auto count = static_cast<std::size_t>(p.grad.numel());
    if (p.grad.dtype() == DType::bf16) {
      p.grad.copy_from_host(std::vector<kernels::bf16>(count, kernels::from_float<kernels::bf16>(1)).data());
    } else {
      p.grad.copy_from_host(std::vector<float>(count, is_convolution(p) ? 1 : kGradient).data());
    }
  }
  block.end_backward();
}

TEST(LowPrecisionGrads, LieSideBySideAndWidenByRanges) {
  const std::unique_ptr<Device> device = Device::open("cpu");
  ParameterBlock block;
  declare_convolutions(block);
  block.allocate(*device);
  block.keep_low_precision_grads(DType::f32);
  for (const Parameter& p : block.parameters()) EXPECT_EQ(&block.grads_of(p), &block.grads());
  block.keep_low_precision_grads(DType::bf16);
  for (const DType other : {DType::f16, DType::f32}) EXPECT_THROW(block.keep_low_precision_grads(other), InternalError);

  std::string order;
  for (const Parameter* p : block.in_order()) order += p->name;
  EXPECT_EQ(order, "p1p3p5p0p2p4p7p6");
  block.begin_step();
  write_gradients(block);
  for (const Parameter& p : block.parameters()) {
    EXPECT_EQ(p.grad.dtype(), is_convolution(p) ? DType::bf16 : DType::f32) << p.name;
    EXPECT_EQ(block.grads_of(p).dtype(), p.grad.dtype()) << p.name;
  }

  // All but the first convolution, whose float32 gradient nobody has written.
  block.widen_grads({block.find("p2")->place.begin, block.grads().numel()});
  const std::vector<float> wide = block.grads().to_host<float>();
  for (const Parameter& p : block.parameters()) {
    EXPECT_EQ(&block.grads_of(p), &block.grads()) << p.name;
    const float trained = is_convolution(p) ? 1 : kGradient, expected = p.name == "p0" || p.name == "p4" ? 0 : trained;
    const std::int64_t end = p.place.begin + p.shape.numel();
    for (std::int64_t i = p.place.begin; i < end; ++i) ASSERT_EQ(wide[static_cast<std::size_t>(i)], expected) << p.name;
  }
  block.begin_step();
  EXPECT_NE(&block.grads_of(*block.find("p0")), &block.grads());
}

TEST(LowPrecisionGrads, AreUpdatedFromAndCheckedAsTheyAre) {
  for (const char* kind : {"sgd", "adam"})
    for (const bool overflows : {false, true}) {
      SCOPED_TRACE(std::string(kind) + (overflows ? ", overflow" : ""));
      const std::unique_ptr<Device> device = Device::open("cpu");
      ParameterBlock block;
      declare_convolutions(block);
      block.allocate(*device);
      block.keep_low_precision_grads(DType::bf16);
      block.begin_step();
      write_gradients(block);
      const kernels::bf16 infinity = kernels::from_float<kernels::bf16>(INFINITY);
      if (overflows) block.find("p6")->grad.view({135}).rows(134, 135).copy_from_host(&infinity);
      LossScale scale(*device);
      scale.check(block);
      StepScalars scalars(*device);
      OptimizerOptions options = options_of(kind);
      options.eps = 1e-12;  // gradients divided by the scale are below the default's reach
      for (const ParameterGroup group : {ParameterGroup::backbone, ParameterGroup::head})
        scalars.set_learning_rate(group, options.group(group).lr);
      scalars.upload();
      Optimizer(block, options).step(scalars, &scale);
      for (const Parameter& p : block.parameters()) {
        const bool head = p.group == ParameterGroup::head;
        const float gradient = (is_convolution(p) ? 1 : kGradient) / kernels::kFirstLossScale + (head ? 0.125f * kStart : 0);
        const float rate = head ? 0.5f : 0.25f, step = std::string(kind) == "sgd" ? rate * gradient : rate;
        const float expected = overflows || p.trainable == Trainable::no ? kStart : kStart - step;
        for (const float value : p.value.to_host<float>()) ASSERT_NEAR(value, expected, 3e-7f) << p.name;
      }
    }
}

}  // namespace
}  // namespace swath
