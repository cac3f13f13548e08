// The fused convolution blocks: gradients of the input and of every parameter against central differences of their own forward
// pass, phases, bad input. (ResNet's use of them is compared with PyTorch, tests/models/resnet_test.cpp.)
#include "engine/autograd/conv_block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/nn/init.h"
#include "kernels/philox.h"

namespace swath {
namespace {

std::vector<float> random_values(std::int64_t n, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = 2 * kernels::uniform01(kernels::philox(seed, 0, kernels::RandomStream::init, i).v[0]) - 1;
  return values;
}

class ConvBlockTest : public testing::Test {
 protected:
  std::unique_ptr<Device> device_ = Device::open("cpu");
  ParameterBlock block_;

  ConvNorm declare(const std::string& name, std::int64_t out, std::int64_t kernel, std::int64_t in, std::int64_t stride) {
    Parameter& weight = block_.declare(name + ".weight", {out, kernel, kernel, in}, ParameterGroup::backbone,
                                       he_normal_init(1, name_hash(name)));
    return {&weight,
            BatchNorm::declare(block_, name + ".norm", out, ParameterGroup::backbone),
            {.stride = stride, .pad = kernel / 2}};
  }

  Tensor tensor(const Shape& shape, const std::vector<float>& values) const {
    return Tensor::from_host(*device_, shape, values);
  }

  using Layer = std::function<Var(Tape&, const Var&)>;

  double weighted_sum(const Layer& layer, const Tensor& x) {
    Tape tape(*device_, Phase::train);
    const std::vector<float> y = layer(tape, Var(x)).value().to_host<float>();
    const std::vector<float> weights = random_values(static_cast<std::int64_t>(y.size()), 99);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(y[i]) * static_cast<double>(weights[i]);
    return sum;
  }

  /// `gradient` against differences of the weighted sum in every element of `values`; where ReLU or the maximum switches within
  /// the step, a difference says nothing, so a share of the elements may disagree.
  void expect_differences(const Layer& layer, const Tensor& x, const Tensor& values, const std::vector<float>& gradient,
                          const std::string& what) {
    const std::vector<float> kept = values.to_host<float>();
    const float h = 1e-2f;
    std::vector<double> errors;
    double largest = 0;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const auto at = [&](float v) {
        std::vector<float> moved = kept;
        moved[i] = v;
        const_cast<Tensor&>(values).copy_from_host(moved.data());
        return weighted_sum(layer, x);
      };
      const double numeric = (at(kept[i] + h) - at(kept[i] - h)) / (2 * static_cast<double>(h));
      largest = std::max(largest, std::abs(numeric));
      errors.push_back(std::abs(numeric - static_cast<double>(gradient[i])));
    }
    const_cast<Tensor&>(values).copy_from_host(kept.data());
    std::sort(errors.begin(), errors.end());
    EXPECT_GT(largest, 0) << what;
    EXPECT_LE(errors[errors.size() / 2], 1e-2 * largest) << what;
    EXPECT_LE(errors[errors.size() * 9 / 10], 0.1 * largest) << what;
  }

  void check(const Layer& layer, const Shape& shape) {
    const Tensor x = tensor(shape, random_values(shape.numel(), 7));
    Tape tape(*device_, Phase::train);
    block_.begin_step();
    const Var input = tape.input(x);
    const Var y = layer(tape, input);
    tape.backward(y, tensor(y.shape(), random_values(y.value().numel(), 99)));
    block_.end_backward();
    expect_differences(layer, x, x, tape.gradient(input).to_host<float>(), "input");
    for (const Parameter& p : block_.parameters()) expect_differences(layer, x, p.value, p.grad.to_host<float>(), p.name);
  }
};

TEST_F(ConvBlockTest, GradientsWithAndWithoutRelu) {
  const ConvNorm layer = declare("c", 4, 3, 2, 2);
  block_.allocate(*device_);
  check([&](Tape& tape, const Var& x) { return conv_norm(tape, x, layer, Activation::none); }, {2, 6, 6, 2});
  check([&](Tape& tape, const Var& x) { return conv_norm(tape, x, layer, Activation::relu); }, {2, 6, 6, 2});
}

TEST_F(ConvBlockTest, GradientsOfTheResidualBlockWhoseInputIsUsedTwice) {
  const ConvNorm first = declare("a", 4, 3, 4, 1), second = declare("b", 4, 1, 4, 1), third = declare("c", 4, 1, 4, 1);
  block_.allocate(*device_);
  check(
      [&](Tape& tape, const Var& x) {
        const Var in = conv_norm_add(tape, x, third, x);
        return conv_norm_add(tape, conv_norm(tape, in, first, Activation::relu), second, in);
      },
      {2, 4, 4, 4});
}

TEST_F(ConvBlockTest, AnActivationThatIsComputedAgainGivesEqualBitsFromLessMemory) {
  const ConvNorm first = declare("a", 32, 1, 8, 1), second = declare("b", 32, 3, 32, 1), third = declare("c", 8, 1, 32, 1);
  block_.allocate(*device_);
  const Tensor x = tensor({2, 16, 16, 8}, random_values(2 * 16 * 16 * 8, 7));
  const auto step = [&](bool remakes) {
    device_->pool()->reset_peaks();
    Tape tape(*device_, Phase::train);
    tape.remake(remakes);
    block_.begin_step();
    const Var input = tape.input(x);
    Var y = conv_norm(tape, conv_norm(tape, input, first, Activation::relu), second, Activation::relu);
    y = conv_norm_add(tape, y, third, input);
    tape.backward(y, tensor(y.shape(), random_values(y.value().numel(), 99)));
    block_.end_backward();
    std::vector<std::vector<float>> found{y.value().to_host<float>(), tape.gradient(input).to_host<float>()};
    for (const Parameter& p : block_.parameters()) found.push_back(p.grad.to_host<float>());
    return std::pair{found, device_->pool()->use(Tag::activations).peak};
  };
  const auto kept = step(false), again = step(true);
  EXPECT_EQ(again.first, kept.first);
  // One of the two activations of 64 KiB; the other is needed where the peak is.
  EXPECT_LE(again.second + 60 * 1024, kept.second);
}

TEST_F(ConvBlockTest, GradientsOfTheShortcutBlock) {
  const ConvNorm first = declare("a", 4, 3, 3, 2), second = declare("b", 5, 1, 4, 1), shortcut = declare("s", 5, 1, 3, 2);
  block_.allocate(*device_);
  check([&](Tape& tape,
            const Var& x) { return conv_norm_add(tape, conv_norm(tape, x, first, Activation::relu), second, x, shortcut); },
        {2, 6, 6, 3});
}

TEST_F(ConvBlockTest, GradientsOfThePooledBlockWhoseResultIsUsedTwice) {
  const ConvNorm stem = declare("a", 4, 3, 2, 1), next = declare("b", 4, 1, 4, 1);
  block_.allocate(*device_);
  check(
      [&](Tape& tape, const Var& x) {
        const Var pooled = conv_norm_pool(tape, x, stem, {.kernel = 3, .stride = 2, .pad = 1});
        return conv_norm_add(tape, pooled, next, pooled);
      },
      {2, 6, 6, 2});
}

TEST_F(ConvBlockTest, EvaluationIsTrainingWithTheRunningStatistics) {
  const ConvNorm stem = declare("a", 8, 3, 2, 1), first = declare("b", 8, 1, 8, 1), shortcut = declare("s", 8, 1, 8, 1);
  const ConvNorm last = declare("l", 8, 1, 8, 1);
  block_.allocate(*device_);
  const Var x(tensor({3, 8, 8, 2}, random_values(3 * 8 * 8 * 2, 3)));
  const auto forward = [&](Tape& tape) {
    const Var pooled = conv_norm_pool(tape, x, stem, {.kernel = 3, .stride = 2, .pad = 1});
    return conv_norm_add(tape, conv_norm_add(tape, pooled, first, pooled, shortcut), last, pooled).value().to_host<float>();
  };
  std::vector<float> trained;
  // The running statistics come as close to the batch's as the momentum allows.
  for (int i = 0; i < 200; ++i) {
    Tape tape(*device_, Phase::train);
    trained = forward(tape);
  }
  Tape tape(*device_, Phase::eval);
  const std::vector<float> evaluated = forward(tape);
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < trained.size(); ++i) {
    difference += std::pow(static_cast<double>(trained[i] - evaluated[i]), 2);
    norm += std::pow(static_cast<double>(trained[i]), 2);
  }
  // The unbiased variance of 192 values (48 after pooling) is larger than the biased one by up to 2 %.
  EXPECT_LT(std::sqrt(difference / norm), 0.05);
  EXPECT_GT(std::sqrt(difference / norm), 0);
}

TEST_F(ConvBlockTest, OneValuePerChannelIsRefusedInTrainingOnly) {
  const ConvNorm layer = declare("c", 3, 1, 3, 1);
  block_.allocate(*device_);
  Tape train(*device_, Phase::train), eval(*device_, Phase::eval);
  const Var one(tensor({1, 1, 1, 3}, {1, 2, 3}));
  EXPECT_THROW(conv_norm(train, one, layer, Activation::none), UserError);
  EXPECT_EQ(layer.norm.running_var->value.to_host<float>(), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(conv_norm(eval, one, layer, Activation::none).shape(), (Shape{1, 1, 1, 3}));
  EXPECT_NO_THROW(conv_norm(train, Var(Tensor::zeros(*device_, {2, 1, 1, 3})), layer, Activation::none));
}

TEST_F(ConvBlockTest, NoGradientScopeKeepsNothing) {
  const ConvNorm layer = declare("c", 4, 1, 2, 1);
  block_.allocate(*device_);
  Tape tape(*device_, Phase::train);
  block_.begin_step();
  const Tape::NoGradient none(tape);
  const Var y = conv_norm_pool(tape, Var(Tensor::zeros(*device_, {1, 2, 2, 2})), layer, {.kernel = 2, .stride = 2, .pad = 0});
  EXPECT_FALSE(y.needs_gradient());
  EXPECT_FALSE(conv_norm(tape, Var(Tensor::zeros(*device_, {1, 2, 2, 2})), layer, Activation::relu).needs_gradient());
}

TEST_F(ConvBlockTest, WhatDoesNotFitIsTheCallersMistake) {
  const ConvNorm layer = declare("c", 4, 3, 2, 1), large = declare("l", 4, 7, 3, 1);
  ConvNorm mixed = layer;
  mixed.norm = BatchNorm::declare(block_, "other", 5, ParameterGroup::backbone);
  block_.allocate(*device_);
  Tape tape(*device_, Phase::train);
  const auto image = [&](const Shape& shape) { return Var(Tensor::zeros(*device_, shape)); };
  EXPECT_THROW(conv_norm(tape, image({1, 5, 5, 3}), layer, Activation::none), UserError);
  EXPECT_THROW(conv_norm(tape, image({5, 2}), layer, Activation::none), UserError);
  EXPECT_THROW(conv_norm(tape, image({2, 5, 5, 2}), mixed, Activation::none), UserError);
  ConvNorm unpadded = large;
  unpadded.options.pad = 0;
  EXPECT_THROW(conv_norm(tape, image({2, 5, 5, 3}), unpadded, Activation::none), UserError);
}

}  // namespace
}  // namespace swath
