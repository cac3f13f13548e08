// Every convolution of the networks' training step has a plan of the real cuDNN on H100 and A100, built from a description
// of the device: no device is needed. The plans come from the function that the CUDA backend calls (conv_plan.h).
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <set>
#include <tuple>

#include "engine/device/cuda/conv_plan.h"
#include "engine/device/cuda/device_descriptions.h"

namespace swath {
namespace {

using cuda::ConvPlan;

struct Network {
  const char* name;
  std::array<int, 4> blocks;
  enum class Block { basic, bottleneck } block;
};

constexpr Network kNetworks[] = {{"resnet18", {2, 2, 2, 2}, Network::Block::basic},
                                 {"resnet34", {3, 4, 6, 3}, Network::Block::basic},
                                 {"resnet50", {3, 4, 6, 3}, Network::Block::bottleneck},
                                 {"resnet101", {3, 4, 23, 3}, Network::Block::bottleneck}};

struct Input {
  std::int64_t n, size, channels;
};

// Training sizes; the stem's channels padded to multiples of 8; a step small enough for a simulator.
constexpr Input kInputs[] = {{128, 224, 3}, {128, 224, 8}, {120, 100, 12}, {120, 100, 16}, {8, 32, 3}, {1, 224, 3}};

struct LessGeometry {
  static auto tie(const ConvGeometry& g) { return std::tie(g.n, g.h, g.w, g.c, g.k, g.r, g.s, g.stride, g.pad); }
  bool operator()(const ConvGeometry& a, const ConvGeometry& b) const { return tie(a) < tie(b); }
};
using Geometries = std::set<ConvGeometry, LessGeometry>;

// Adds one convolution and returns the extent of its output.
std::int64_t add(Geometries& all, std::int64_t n, std::int64_t size, std::array<std::int64_t, 4> c_k_r_stride) {
  const auto [c, k, r, stride] = c_k_r_stride;
  ConvGeometry g{.n = n, .h = size, .w = size, .c = c, .k = k, .r = r, .s = r, .stride = stride, .pad = r / 2};
  all.insert(g);
  return g.out_h();
}

// The convolutions of torchvision's residual networks (stride in the 3×3 convolution of a bottleneck).
void add_network(Geometries& all, const Network& network, const Input& input) {
  std::int64_t size = add(all, input.n, input.size, {input.channels, 64, 7, 2});
  size = (size + 2 - 3) / 2 + 1;
  std::int64_t channels = 64;
  for (std::size_t stage = 0; stage < 4; ++stage) {
    const std::int64_t width = std::int64_t{64} << stage;
    const std::int64_t out = network.block == Network::Block::basic ? width : 4 * width;
    for (int block = 0; block < network.blocks[stage]; ++block) {
      const std::int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      if (stride != 1 || channels != out) add(all, input.n, size, {channels, out, 1, stride});
      if (network.block == Network::Block::basic) {
        size = add(all, input.n, size, {channels, width, 3, stride});
        add(all, input.n, size, {width, width, 3, 1});
      } else {
        add(all, input.n, size, {channels, width, 1, 1});
        size = add(all, input.n, size, {width, width, 3, stride});
        add(all, input.n, size, {width, out, 1, 1});
      }
      channels = out;
    }
  }
}

struct Arithmetic {
  const char* name;
  DType dtype;
  Float32Math math;
};
constexpr Arithmetic kArithmetics[] = {{"f32", DType::f32, Float32Math::full},
                                       {"tf32", DType::f32, Float32Math::tf32},
                                       {"bf16", DType::bf16, Float32Math::full},
                                       {"fp16", DType::f16, Float32Math::full}};

class ConvPlansOf : public ::testing::TestWithParam<std::tuple<const char*, Arithmetic>> {};

TEST_P(ConvPlansOf, EveryConvolutionOfEveryNetworkHasOne) {
  const auto& [device, arithmetic] = GetParam();
  const std::string json = cuda::device_description(device);
  ASSERT_FALSE(json.empty());
  int graphs = 0;
  std::int64_t largest_workspace = 0;
  for (const Input& input : kInputs) {
    Geometries geometries;
    for (const Network& network : kNetworks) add_network(geometries, network, input);
    for (ConvGeometry geometry : geometries) {
      geometry.dtype = arithmetic.dtype;
      for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weight}) {
        // Images need no gradient.
        if (pass == ConvPass::backward_data && geometry.c == input.channels) continue;
        try {
          const ConvPlan plan = ConvPlan::for_description({.geometry = geometry, .pass = pass, .math = arithmetic.math}, json);
          largest_workspace = std::max(largest_workspace, plan.workspace_bytes());
          ++graphs;
        } catch (const Error& error) {
          ADD_FAILURE() << device << ", " << arithmetic.name << ": " << error.what();
        }
      }
    }
  }
  EXPECT_EQ(graphs, 6 * 86);
  std::printf("%s %s: %d graphs, largest workspace %.0f MiB\n", device, arithmetic.name, graphs,
              static_cast<double>(largest_workspace) / (1024.0 * 1024.0));
}

// What conv_pipeline=on may ask for one convolution (engine/autograd/conv_term.cpp).
std::vector<ConvProblem> fused_problems(const ConvGeometry& g) {
  std::vector<ConvProblem> all{{.geometry = g, .pass = ConvPass::forward, .fusion = ConvFusion::sums},
                               {.geometry = g, .pass = ConvPass::forward, .fusion = ConvFusion::normal},
                               {.geometry = g, .pass = ConvPass::backward_data, .fusion = ConvFusion::normal},
                               {.geometry = g, .pass = ConvPass::backward_weight, .fusion = ConvFusion::normal}};
  for (const ConvFusion joined : {ConvFusion::residual, ConvFusion::shortcut}) {
    if (joins_input(g)) all.push_back({.geometry = g, .pass = ConvPass::forward, .fusion = joined});
    if (!joins_gradient(g)) continue;
    for (const bool skip : {false, true})
      all.push_back({.geometry = g, .pass = ConvPass::backward_data, .fusion = joined, .skip = skip});
  }
  if (joins_gradient(g))
    all.push_back({.geometry = g, .pass = ConvPass::backward_data, .fusion = ConvFusion::normal, .skip = true});
  return all;
}

TEST(ConvPlans, EveryFusedConvolutionOfEveryNetworkHasOneOnAnH100) {
  const std::string json = cuda::device_description("h100");
  int graphs = 0;
  std::int64_t largest_workspace = 0;
  for (const Input& input : {Input{128, 224, 8}, Input{120, 100, 16}, Input{8, 32, 8}}) {
    Geometries geometries;
    for (const Network& network : kNetworks) add_network(geometries, network, input);
    for (ConvGeometry geometry : geometries) {
      geometry.dtype = DType::f16;
      // The stem is not fused.
      if (geometry.c == input.channels) continue;
      for (const ConvProblem& problem : fused_problems(geometry)) {
        try {
          largest_workspace = std::max(largest_workspace, ConvPlan::for_description(problem, json).workspace_bytes());
          ++graphs;
        } catch (const Error& error) {
          ADD_FAILURE() << error.what();
        }
      }
    }
  }
  EXPECT_EQ(graphs, 648);
  EXPECT_LE(largest_workspace, std::int64_t{19} << 20);
  std::printf("fused: %d graphs, largest workspace %.0f MiB\n", graphs,
              static_cast<double>(largest_workspace) / (1024.0 * 1024.0));
}

TEST(ConvPlans, WhatCudnnDoesNotFuseIsNamedWithTheRemedy) {
  // No engine adds a residual before a convolution of several pixels.
  const ConvGeometry geometry{.n = 2, .h = 8, .w = 8, .c = 64, .k = 64, .r = 3, .s = 3, .pad = 1, .dtype = DType::f16};
  try {
    ConvPlan::for_description({.geometry = geometry, .pass = ConvPass::forward, .fusion = ConvFusion::residual},
                              cuda::device_description("h100"));
    FAIL() << "there is a plan";
  } catch (const DeviceError& error) {
    for (const char* part : {"padding 1, normalised with residual on this device", "; set conv_pipeline=off, or use another"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(ConvPlans, AConvolutionThatADeviceCannotRunIsNamedWithTheRemedy) {
  // Before compute capability 8.0 there is no bfloat16.
  std::string json = cuda::device_description("a100");
  const std::size_t version = json.find("\"deviceVer\": 800");
  ASSERT_NE(version, std::string::npos);
  json.replace(version, 16, "\"deviceVer\": 700");
  const ConvGeometry geometry{.n = 2, .h = 8, .w = 8, .c = 64, .k = 64, .r = 3, .s = 3, .pad = 1, .dtype = DType::bf16};
  try {
    ConvPlan::for_description({.geometry = geometry, .pass = ConvPass::forward}, json);
    FAIL() << "there is a plan";
  } catch (const DeviceError& error) {
    const std::string said = error.what();
    EXPECT_EQ(said.rfind("cuDNN ", 0), 0u) << said;
    EXPECT_NE(said.find("has no plan for the convolution forward of bf16 2x8x8x64 with 64x3x3x64"), std::string::npos) << said;
    EXPECT_NE(said.find("; set another precision, or use another version of cuDNN"), std::string::npos) << said;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, ConvPlansOf,
                         ::testing::Combine(::testing::Values("h100", "a100"), ::testing::ValuesIn(kArithmetics)),
                         [](const auto& i) { return std::string(std::get<0>(i.param)) + "_" + std::get<1>(i.param).name; });

}  // namespace
}  // namespace swath
