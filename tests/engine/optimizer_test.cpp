// How an optimiser divides a block with frozen parameters: more stretches than one launch takes, each with its group's rates.
#include "engine/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/device/device.h"
#include "engine/nn/init.h"

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

}  // namespace
}  // namespace swath
