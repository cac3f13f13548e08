// The tape and the differentiable layers: gradients against central differences of the layer's own forward pass, order
// of accumulation, freeing, phases. (ResNet's layers are also compared with PyTorch, tests/models/resnet_test.cpp.)
#include "engine/autograd/tape.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/autograd/nn_ops.h"
#include "engine/autograd/row_ops.h"
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

using Layer = std::function<Var(Tape&, const Var&)>;

class TapeTest : public testing::Test {
 protected:
  std::unique_ptr<Device> device_ = Device::open("cpu");
  ParameterBlock block_;

  double weighted_sum(const Layer& layer, const Shape& shape, const std::vector<float>& x) {
    Tape tape(*device_, Phase::train);
    const std::vector<float> y = layer(tape, Var(Tensor::from_host(*device_, shape, x))).value().to_host<float>();
    const std::vector<float> weights = random_values(static_cast<std::int64_t>(y.size()), 99);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(y[i]) * static_cast<double>(weights[i]);
    return sum;
  }

  /// Compares the gradient of a weighted sum of the layer's outputs with central differences in every input. The difference
  /// is relative to the largest one: those of single precision over 2h err by the same amount everywhere.
  void check_gradient(const Layer& layer, const Shape& shape, double tolerance = 1e-3) {
    const std::vector<float> x = random_values(shape.numel(), 7);
    Tape tape(*device_, Phase::train);
    block_.begin_step();
    const Var input = tape.input(Tensor::from_host(*device_, shape, x));
    const Var y = layer(tape, input);
    tape.backward(y, Tensor::from_host(*device_, y.shape(), random_values(y.value().numel(), 99)));
    const std::vector<float> gradient = tape.gradient(input).to_host<float>();
    std::vector<double> numeric;
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double h = 1e-2;
      std::vector<float> up = x, down = x;
      up[i] += static_cast<float>(h);
      down[i] -= static_cast<float>(h);
      numeric.push_back((weighted_sum(layer, shape, up) - weighted_sum(layer, shape, down)) /
                        (static_cast<double>(up[i]) - static_cast<double>(down[i])));
      largest = std::max(largest, std::abs(numeric[i]));
    }
    for (std::size_t i = 0; i < x.size(); ++i)
      EXPECT_NEAR(static_cast<double>(gradient[i]), numeric[i], tolerance * largest) << "input " << i;
  }

  /// A float32 sum of `terms` errs by at most that many roundings of the sum of magnitudes, each product by one more.
  static void expect_sum(float got, double sum, double magnitudes, int terms) {
    EXPECT_NEAR(static_cast<double>(got), sum, (terms + 1) * 0x1p-24 * magnitudes);
  }
};

TEST_F(TapeTest, NormalizeRowsGradient) {
  check_gradient([](Tape& tape, const Var& x) { return normalize_rows(tape, x); }, {3, 5});
}

TEST_F(TapeTest, LinearGradientsOfInputWeightAndBias) {
  Parameter& weight = block_.declare("w", {4, 3}, ParameterGroup::head, linear_init(1, 1, 3));
  Parameter& bias = block_.declare("b", {4}, ParameterGroup::head, linear_init(1, 2, 3));
  block_.allocate(*device_);
  check_gradient([&](Tape& tape, const Var& x) { return linear(tape, x, weight, bias); }, {5, 3});

  const std::vector<float> x = random_values(15, 7), d_y = random_values(20, 99);
  const std::vector<float> d_w = weight.grad.to_host<float>(), d_b = bias.grad.to_host<float>();
  for (std::size_t o = 0; o < 4; ++o) {
    double b = 0, b_magnitudes = 0;
    for (std::size_t n = 0; n < 5; ++n) {
      b += static_cast<double>(d_y[n * 4 + o]);
      b_magnitudes += std::abs(static_cast<double>(d_y[n * 4 + o]));
    }
    expect_sum(d_b[o], b, b_magnitudes, 5);
    for (std::size_t i = 0; i < 3; ++i) {
      double w = 0, w_magnitudes = 0;
      for (std::size_t n = 0; n < 5; ++n) {
        const double product = static_cast<double>(d_y[n * 4 + o]) * static_cast<double>(x[n * 3 + i]);
        w += product;
        w_magnitudes += std::abs(product);
      }
      expect_sum(d_w[o * 3 + i], w, w_magnitudes, 5);
    }
  }
}

TEST_F(TapeTest, ConcatGradientSplitsColumnsAndSharedInputsAddUp) {
  check_gradient([](Tape& tape, const Var& x) { return concat_columns(tape, {x, normalize_rows(tape, x), x}); }, {4, 3});
}

TEST_F(TapeTest, GatherRowsAddsUpRepeatedRows) {
  const Tensor index = Tensor::from_host(*device_, {5}, std::vector<std::int32_t>{2, 0, -1, 2, 2});
  check_gradient([&](Tape& tape, const Var& x) { return gather_rows(tape, x, index); }, {3, 4});
}

TEST_F(TapeTest, AddGivesBothInputsTheirOwnGradient) {
  check_gradient([](Tape& tape, const Var& x) { return add(tape, relu(tape, x), x); }, {2, 3});
}

TEST_F(TapeTest, DropoutKeepsTheSameElementsBackward) {
  const Tensor step = Tensor::from_host(*device_, {1}, std::vector<std::uint64_t>{5});
  const RandomKey key{11, step.data<std::uint64_t>()};
  check_gradient([&](Tape& tape, const Var& x) { return dropout(tape, x, 0.4f, key); }, {6, 8});
  Tape tape(*device_, Phase::eval);
  const Var x(Tensor::from_host(*device_, {2, 2}, std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(dropout(tape, x, 0.4f, key).value().raw(), x.value().raw());
}

TEST_F(TapeTest, NoGradientScopeKeepsNothing) {
  Parameter& weight = block_.declare("w", {4, 2}, ParameterGroup::head, he_normal_init(1, 3));
  Parameter& bias = block_.declare("b", {4}, ParameterGroup::head, constant_init(0));
  block_.allocate(*device_);
  Tape tape(*device_, Phase::train);
  block_.begin_step();
  Var y;
  {
    const Tape::NoGradient none(tape);
    y = linear(tape, Var(Tensor::zeros(*device_, {1, 2})), weight, bias);
  }
  EXPECT_FALSE(y.needs_gradient());
  tape.backward(y, Tensor::zeros(*device_, y.shape()));
  EXPECT_FALSE(weight.grad_written);
}

TEST_F(TapeTest, AnOperationThatTakesTwoGradientsGetsThemApart) {
  Tape tape(*device_, Phase::train);
  const auto number = [&](float v) { return Tensor::from_host(*device_, {1}, std::vector<float>{v}); };
  const Var x = tape.input(number(1));
  std::vector<float> got;
  const Var y = tape.record_pair("pair", number(5), {x}, false,
                                 [&](const Tensor& first, const Tensor& second, InputGradients& gradients) {
                                   for (const Tensor* g : {&first, &second})
                                     if (g->defined()) got.push_back(g->to_host<float>()[0]);
                                   gradients.add(0, first);
                                 });
  // Three gradients: the first two uses' come apart, the third is added to the second's.
  const Var a = scale(tape, y, 2), b = scale(tape, y, 30), c = scale(tape, y, 400);
  tape.backward(add(tape, add(tape, a, b), c), number(1));
  EXPECT_EQ(got, (std::vector<float>{400, 32}));
  EXPECT_EQ(tape.gradient(x).to_host<float>(), (std::vector<float>{400}));

  got.clear();
  Tape other(*device_, Phase::train);
  const Var single = other.record_pair("pair", number(5), {other.input(number(1))}, false,
                                       [&](const Tensor& first, const Tensor& second, InputGradients&) {
                                         got = {first.to_host<float>()[0], second.defined() ? 1.0f : 0.0f};
                                       });
  other.backward(scale(other, single, 7), number(1));
  EXPECT_EQ(got, (std::vector<float>{7, 0}));
}

TEST_F(TapeTest, ActivationsAreFreedAsBackwardWalks) {
  Tape tape(*device_, Phase::train);
  const Var x = tape.input(Tensor::zeros(*device_, {1024, 1024}));
  Var y = x;
  for (int i = 0; i < 8; ++i) y = relu(tape, y);
  const std::size_t before = device_->pool()->use(Tag::activations).current;
  tape.backward(y, Tensor::zeros(*device_, y.shape()));
  y = {};
  EXPECT_LT(device_->pool()->use(Tag::activations).current, before / 2);
}

TEST_F(TapeTest, UntouchedGradientsAreZeroAfterBackward) {
  Parameter& used = block_.declare("used", {1, 2}, ParameterGroup::head, constant_init(1));
  Parameter& bias = block_.declare("bias", {1}, ParameterGroup::head, constant_init(1));
  Parameter& unused = block_.declare("unused", {3}, ParameterGroup::head, constant_init(1));
  block_.allocate(*device_);
  unused.grad.copy_from_host(std::vector<float>{1, 2, 3}.data());
  Tape tape(*device_, Phase::train);
  block_.begin_step();
  const Var y = linear(tape, Var(Tensor::from_host(*device_, {1, 2}, std::vector<float>{3, 4})), used, bias);
  tape.backward(y);
  block_.end_backward();
  EXPECT_EQ(used.grad.to_host<float>(), (std::vector<float>{3, 4}));
  EXPECT_EQ(unused.grad.to_host<float>(), (std::vector<float>{0, 0, 0}));
}

}  // namespace
}  // namespace swath
