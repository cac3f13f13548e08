// ResNet against torchvision in double precision: forward, every gradient, running statistics (golden/make_resnet_golden.py).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>

#include "engine/io/safetensors.h"
#include "engine/nn/init.h"
#include "models/resnet.h"
#include "tests/models/golden/golden_values.h"

namespace swath {
namespace {

struct Golden {
  std::string file, depth;
  std::int64_t channels, size, batch;
};

class ResNetGolden : public testing::TestWithParam<Golden> {};

/// Relative error of `got` (in torch's element order) against the golden tensor, which may be a sketch.
double relative_error(const std::vector<double>& got, const std::vector<float>& golden) {
  const std::vector<double> mine = golden::sketch(got);
  EXPECT_EQ(mine.size(), golden.size());
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < golden.size(); ++i) {
    const double d = mine[i] - static_cast<double>(golden[i]);
    difference += d * d;
    norm += static_cast<double>(golden[i]) * static_cast<double>(golden[i]);
  }
  return std::sqrt(difference / norm);
}

std::string torch_name(const std::string& name) { return name.substr(std::string("backbone.").size()); }

TEST_P(ResNetGolden, ForwardGradientsAndRunningStatistics) {
  const Golden& golden = GetParam();
  const SafetensorsFile file = SafetensorsFile::open(SWATH_GOLDEN_DIR "/" + golden.file);
  const auto device = Device::open("cpu");
  ParameterBlock block;
  const ResNet net(block, {.depth = golden.depth, .in_channels = golden.channels}, 1);
  block.allocate(*device);
  const int last_norm = golden.depth == "resnet18" ? 2 : 3;
  const auto values = [&](const std::string& name, const Shape& shape) {
    return golden::to_own_layout(golden::values(name, shape, last_norm), shape);
  };
  for (Parameter& p : block.parameters()) p.value.copy_from_host(values(torch_name(p.name), p.shape).data());
  for (Buffer& b : block.buffers()) b.value.copy_from_host(values(torch_name(b.name), b.shape).data());
  const Shape image_shape{golden.batch, golden.size, golden.size, golden.channels};
  const Tensor images = Tensor::from_host(*device, image_shape, values("images", image_shape));

  // Against PyTorch's own float32 errors. Behind dozens of layers a single tensor's error is a draw, which two roundings of
  // the same quality can make several times apart; all together they cannot. Direct convolutions round as PyTorch's do.
  const bool direct = std::getenv("SWATH_DIRECT_CONV") != nullptr;
  const double times = direct ? 2 : 5, median_times = direct ? 1.1 : 1.5;
  std::vector<double> ratios;
  const auto check = [&](const std::string& name, const Tensor& got) {
    const std::vector<double> in_torch_order = golden::to_torch_layout(got.to_host<float>(), got.shape());
    const double error = relative_error(in_torch_order, file.to_float(name));
    const auto torch_error = static_cast<double>(file.to_float(name + ".torch_error")[0]);
    EXPECT_LE(error, std::max(1e-4, times * torch_error)) << name;
    ratios.push_back(error / torch_error);
  };
  {
    Tape tape(*device, Phase::eval);
    check("eval", net.forward(tape, Var(images)).value());
  }
  Tape tape(*device, Phase::train);
  block.begin_step();
  const Var features = net.forward(tape, Var(images));
  check("features", features.value());
  const auto d_features = golden::values("d_features", features.shape(), last_norm);
  tape.backward(features, Tensor::from_host(*device, features.shape(), d_features));
  block.end_backward();
  for (const Parameter& p : block.parameters()) check("d." + torch_name(p.name), p.grad);
  for (const Buffer& b : block.buffers()) check(torch_name(b.name), b.value);
  std::nth_element(ratios.begin(), ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2), ratios.end());
  EXPECT_LE(ratios[ratios.size() / 2], median_times) << "the median";
}

INSTANTIATE_TEST_SUITE_P(Files, ResNetGolden,
                         testing::Values(Golden{"resnet50.safetensors", "resnet50", 3, 128, 4},
                                         Golden{"resnet18_12bands.safetensors", "resnet18", 12, 64, 4}),
                         [](const auto& test) { return test.param.depth; });

TEST(ResNet, ParameterCountsAreTorchvisions) {
  const std::map<std::string, std::int64_t> without_classifier{
      {"resnet18", 11176512}, {"resnet34", 21284672}, {"resnet50", 23508032}, {"resnet101", 42500160}};
  for (const auto& [depth, count] : without_classifier) {
    ParameterBlock block;
    const ResNet net(block, {.depth = depth, .in_channels = 3}, 0);
    EXPECT_EQ(block.count(), count) << depth;
  }
}

TEST(ResNet, HeInitialisationHasTorchvisionsDeviation) {
  ParameterBlock block;
  const ResNet net(block, {.depth = "resnet18", .in_channels = 12}, 3);
  const auto device = Device::open("cpu");
  block.allocate(*device);
  for (const Parameter& p : block.parameters()) {
    if (p.shape.rank() != 4 || p.shape.numel() < 30000) continue;
    double sum = 0, squares = 0;
    for (const float v : p.value.to_host<float>())
      sum += static_cast<double>(v), squares += static_cast<double>(v) * static_cast<double>(v);
    const auto n = static_cast<double>(p.shape.numel());
    const double wanted = std::sqrt(2.0 / static_cast<double>(p.shape[0] * p.shape[1] * p.shape[2]));
    EXPECT_NEAR(std::sqrt(squares / n), wanted, 0.03 * wanted) << p.name;
    EXPECT_NEAR(sum / n, 0, 4 * wanted / std::sqrt(n)) << p.name;
  }
}

TEST(ResNet, UnknownDepthIsNamed) {
  ParameterBlock block;
  try {
    const ResNet net(block, {.depth = "resnet51", .in_channels = 3}, 0);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("resnet50"), std::string::npos);
  }
}

}  // namespace
}  // namespace swath
