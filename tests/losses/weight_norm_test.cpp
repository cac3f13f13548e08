// WeightNormLoss on the tape (methods.md §7 "BIER").
#include "losses/weight_norm.h"

#include "engine/nn/init.h"
#include "tests/losses/tape_case.h"
#include "tests/reference/weight_norm.h"

namespace swath {
namespace {

/// Two owners: one of two layers with biases, one of a layer without.
TEST(WeightNormLoss, MeanOverOwnersOfTheSumOverTheirLayers) {
  const auto device = Device::open("cpu");
  ParameterBlock block;
  const auto declare = [&](const char* name, Shape shape) {
    return &block.declare(name, shape, ParameterGroup::regressor, linear_init(5, name_hash(name), 2));
  };
  Parameter *w1 = declare("w1", {4, 3}), *b1 = declare("b1", {4}), *w2 = declare("w2", {5, 4}), *b2 = declare("b2", {5}),
            *w3 = declare("w3", {2, 6});
  WeightNormLoss loss({{{w1, b1}, {w2, b2}}, {{w3, nullptr}}});
  block.allocate(*device);
  b2->value.copy_from_host(std::vector<float>{1.0f, -0.5f, 0.25f, 0.75f, -1.0f}.data());
  const auto reference = [&](const test::Values& v) {
    return (reference::weight_norm_loss(v.at("w1"), 4, 3, v.at("b1")) +
            reference::weight_norm_loss(v.at("w2"), 5, 4, v.at("b2")) +
            reference::weight_norm_loss<double>(v.at("w3"), 2, 6, {})) /
           2;
  };
  test::expect_slopes(*device, block, loss, {}, test::random_values(6, 1), 3, reference);
}

TEST(WeightNormLoss, MoreLayersThanALaunchTakes) {
  ParameterBlock block;
  std::vector<std::vector<WeightNormLayer>> owners;
  for (int i = 0; i < 33; ++i)
    owners.push_back({{&block.declare("w" + std::to_string(i), {1, 1}, ParameterGroup::head, constant_init(1)), nullptr}});
  EXPECT_THROW(WeightNormLoss{owners}, UserError);
}

}  // namespace
}  // namespace swath
