// Convolutions that normalise their input and gather sums (conv_pipeline=on) on a CUDA device, real or simulated: chains of
// residual blocks against the same in double, and against separate kernels in float16; and activations that are computed again.
#include <gtest/gtest.h>

#include <numeric>

#include "engine/dist/communicator.h"
#include "tests/cuda_device.h"
#include "tests/engine/residual_case.h"

namespace swath {
namespace {

using testing::Chain;
using testing::ChainCase;
using testing::ChainReference;
using testing::Doubles;
using testing::relative_error;
using Found = std::map<std::string, Doubles>;

const std::vector<std::pair<std::int64_t, std::int64_t>> kBottleneck{{1, 1}, {3, 1}, {1, 1}}, kStrided{{1, 1}, {3, 2}, {1, 1}},
    kBasic{{3, 1}, {3, 1}}, kStridedBasic{{3, 2}, {3, 1}};

std::vector<ChainCase> cases() {
  return {
      {"bottlenecks", 2, 6, 6, 16, 8, {{kBottleneck, true}, {kBottleneck, false}, {kBottleneck, false}}},
      {"strided", 3, 7, 5, 8, 8, {{kBottleneck, false}, {kStrided, true}, {kBottleneck, false}}},
      {"one_pixel", 7, 1, 1, 16, 24, {{kBottleneck, true}, {kBottleneck, false}}},
      {"many_channels", 1, 3, 5, 40, 72, {{kBottleneck, false}, {kBottleneck, true}}},
      {"basic", 2, 6, 5, 16, 16, {{kBasic, false}, {kBasic, false}}},
      {"strided_basic", 2, 7, 6, 8, 16, {{kBasic, false}, {kStridedBasic, true}, {kBasic, false}}},
  };
}

std::vector<ChainCase> decided_cases() {
  std::vector<ChainCase> decided = cases();
  for (ChainCase& of : decided) of.decided = true;
  return decided;
}

class CudaConvPipeline : public ::testing::TestWithParam<ChainCase> {
 protected:
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  template <class Prepare>
  static Found step(const ChainCase& of, bool pipeline, const Prepare& prepare) {
    const std::unique_ptr<Device> device = Device::open("cuda", {.conv_pipeline = pipeline});
    Chain chain(*device, of);
    return chain.step(prepare);
  }
  static Found step(const ChainCase& of, bool pipeline) {
    return step(of, pipeline, [](Tape&) {});
  }
};

// Some tens of roundings to 11 bits, one after the other: of results, of scale and bias, of activations, of gradients. Where
// the mask of ReLU may be another one the gradient of an element may be wrong as a whole, and half of the elements have one:
// the error is the root of twice that share, of a layer and of those that its gradient comes from.
constexpr double kRoundings = 0.005;
double gradient_error(double uncertain) { return kRoundings + 2 * std::sqrt(2 * uncertain); }

TEST_P(CudaConvPipeline, GivesValuesAndGradientsOfTheFormulasInDouble) {
  const std::unique_ptr<Device> cpu = Device::open("cpu");
  const Chain parameters(*cpu, GetParam());
  const ChainReference wanted(parameters, GetParam());
  const Found separate = step(GetParam(), false), fused = step(GetParam(), true);
  for (const auto& [name, values] : wanted.found) {
    const double allowed = name == "y" ? kRoundings : gradient_error(wanted.uncertain);
    EXPECT_LE(relative_error(fused.at(name), values), allowed) << name;
    EXPECT_LE(relative_error(separate.at(name), values), allowed) << name << " of separate kernels";
  }
}

// Where masks are certain every term counts in full.
class CudaDecidedConvPipeline : public CudaConvPipeline {
 protected:
  /// The next normalisation undoes a shift: what is left of its gradient is held against that of the scale.
  static double error_of(const std::string& name, const Found& got, const Found& wanted) {
    const double error = relative_error(got.at(name), wanted.at(name));
    if (!name.ends_with("norm.bias")) return error;
    const auto norm_of = [](const Doubles& values) {
      return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
    };
    const double own = norm_of(wanted.at(name));
    return error * own / std::max(own, norm_of(wanted.at(name.substr(0, name.size() - 4) + "weight")));
  }
};

TEST_P(CudaDecidedConvPipeline, GivesGradientsOfTheFormulasWithinRoundings) {
  const std::unique_ptr<Device> cpu = Device::open("cpu");
  const Chain parameters(*cpu, GetParam());
  const ChainReference wanted(parameters, GetParam());
  ASSERT_EQ(wanted.uncertain, 0);
  const Found separate = step(GetParam(), false), fused = step(GetParam(), true);
  for (const auto& [name, values] : wanted.found) {
    EXPECT_LE(error_of(name, fused, wanted.found), 2 * kRoundings) << name;
    EXPECT_LE(error_of(name, separate, wanted.found), 2 * kRoundings) << name << " of separate kernels";
  }
}

INSTANTIATE_TEST_SUITE_P(, CudaDecidedConvPipeline, ::testing::ValuesIn(decided_cases()),
                         [](const auto& of) { return std::string(of.param.name); });

TEST_P(CudaConvPipeline, MovesTheRunningStatisticsAsSeparateKernels) {
  const Found separate = step(GetParam(), false), fused = step(GetParam(), true);
  for (const auto& [name, values] : separate) {
    if (name.find("running") == std::string::npos) continue;
    EXPECT_LE(relative_error(fused.at(name), values), 2e-3) << name;
  }
}

TEST_P(CudaConvPipeline, GivesEqualBitsInEveryRun) { EXPECT_EQ(step(GetParam(), true), step(GetParam(), true)); }

TEST_P(CudaConvPipeline, ActivationsThatAreComputedAgainGiveEqualBits) {
  for (const bool pipeline : {false, true})
    EXPECT_EQ(step(GetParam(), pipeline, [](Tape& tape) { tape.remake(true); }), step(GetParam(), pipeline));
}

INSTANTIATE_TEST_SUITE_P(, CudaConvPipeline, ::testing::ValuesIn(cases()),
                         [](const auto& of) { return std::string(of.param.name); });

class CudaConvPipelineReaders : public ::testing::Test {
 protected:
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  /// One block, whose result `use` reads; gradients of everything.
  template <class Use>
  static Found step(bool pipeline, const Use& use) {
    static const ChainCase of{"readers", 2, 5, 5, 16, 16, {{kBottleneck, false}, {kBottleneck, false}}};
    const std::unique_ptr<Device> device = Device::open("cuda", {.conv_pipeline = pipeline});
    Chain chain(*device, of);
    Tape tape(*device, Phase::train);
    chain.parameters.begin_step();
    const Var x = tape.input(Tensor::from_host(*device, {2, 5, 5, 16}, testing::narrowed<kernels::f16>(chain.input)));
    const Var y = use(tape, chain, conv_norm(tape, x, chain.blocks[0].convs[0], Activation::relu));
    y.value();
    const std::vector<float> d = testing::chain_numbers(y.shape().numel(), "d");
    tape.backward(y, Tensor::from_host(*device, y.shape(), testing::narrowed<kernels::f16>(d)));
    chain.parameters.end_backward();
    Found found{{"x", testing::to_doubles(testing::widened(tape.gradient(x).to_host<kernels::f16>()))}};
    for (const Parameter& p : chain.parameters.parameters()) found[p.name] = testing::to_doubles(p.grad.to_host<float>());
    return found;
  }

  /// Up to two masks of a layer's 800 may differ.
  template <class Use>
  static void expect_same(const Use& use) {
    const Found separate = step(false, use), fused = step(true, use);
    for (const auto& [name, values] : separate) {
      // A layer that has no part has zeros.
      const bool none = values == Doubles(values.size());
      const double error = relative_error(fused.at(name), values);
      EXPECT_TRUE(none ? fused.at(name) == values : error <= gradient_error(2.0 / 800)) << name << ": " << error;
    }
  }
};

TEST_F(CudaConvPipelineReaders, TwoConvolutions) {
  expect_same([](Tape& tape, const Chain& chain, const Var& v) {
    const Var a = conv_norm(tape, v, chain.blocks[1].convs[0], Activation::relu);
    return conv_norm_add(tape, v, chain.blocks[1].convs[2], a);
  });
}

TEST_F(CudaConvPipelineReaders, AResidualBeforeAConvolution) {
  expect_same([](Tape& tape, const Chain& chain, const Var& v) {
    const Var sum = conv_norm_add(tape, v, chain.blocks[1].convs[0], v);
    const Var other = conv_norm_add(tape, sum, chain.blocks[0].convs[2], v);
    return conv_norm_add(tape, v, chain.blocks[1].convs[2], other);
  });
}

TEST_F(CudaConvPipelineReaders, AConvolutionOfAnotherStrideBesideAResidual) {
  expect_same([](Tape& tape, const Chain& chain, const Var& v) {
    ConvNorm strided = chain.blocks[1].convs[1], beside = chain.blocks[0].convs[2];
    strided.options.stride = beside.options.stride = 2;
    const Var a = conv_norm(tape, v, strided, Activation::relu);
    return conv_norm_add(tape, a, chain.blocks[1].convs[0], v, beside);
  });
}

TEST_F(CudaConvPipelineReaders, ThePooledResultOfAStem) {
  expect_same([](Tape& tape, const Chain& chain, const Var& v) {
    const Var pooled = conv_norm_pool(tape, v, chain.blocks[0].convs[1], {.kernel = 3, .stride = 2, .pad = 1});
    const Var a = conv_norm(tape, pooled, chain.blocks[1].convs[0], Activation::relu);
    const Var b = conv_norm(tape, a, chain.blocks[1].convs[1], Activation::relu);
    return conv_norm_add(tape, b, chain.blocks[1].convs[2], pooled, chain.blocks[0].convs[2]);
  });
}

TEST_F(CudaConvPipelineReaders, APooledResultThatIsAlsoAResidual) {
  expect_same([](Tape& tape, const Chain& chain, const Var& v) {
    const Var pooled = conv_norm_pool(tape, v, chain.blocks[0].convs[1], {.kernel = 3, .stride = 2, .pad = 1});
    const Var a = conv_norm(tape, pooled, chain.blocks[1].convs[1], Activation::relu);
    return conv_norm_add(tape, a, chain.blocks[1].convs[2], pooled);
  });
}

TEST_F(CudaConvPipelineReaders, ALayerTwice) {
  expect_same([](Tape& tape, const Chain& chain, const Var& v) {
    const Var a = conv_norm(tape, v, chain.blocks[1].convs[0], Activation::relu);
    return conv_norm(tape, a, chain.blocks[1].convs[0], Activation::relu);
  });
}

TEST_F(CudaConvPipelineReaders, BatchNormOverSeveralRanksIsRefusedWithTheKeys) {
  const std::unique_ptr<Device> device = Device::open("cuda", {.conv_pipeline = true});
  const ChainCase of = cases().front();
  Chain chain(*device, of);
  try {
    chain.step([](Tape& tape) { tape.share({.ranks = &sole_rank(), .rows = 2, .norm = NormScope::batch}); });
    FAIL() << "it normalised";
  } catch (const UserError& error) {
    EXPECT_STREQ(error.what(),
                 "conv_pipeline=on normalises with one rank's rows; set ranks.sync_batch_norm=false, or conv_pipeline=off");
  }
}

TEST_F(CudaConvPipelineReaders, WithoutGradientsTheValuesAreTheSame) {
  const std::unique_ptr<Device> device = Device::open("cuda", {.conv_pipeline = true});
  const ChainCase of = cases().front();
  Chain chain(*device, of);
  std::vector<std::vector<float>> values;
  for (const bool gradients : {true, false}) {
    Tape tape(*device, Phase::train);
    std::optional<Tape::NoGradient> none;
    if (!gradients) none.emplace(tape);
    const Tensor x = Tensor::from_host(*device, {of.n, of.h, of.w, of.channels}, testing::narrowed<kernels::f16>(chain.input));
    values.push_back(testing::widened(chain.forward(tape, Var(x)).value().to_host<kernels::f16>()));
  }
  EXPECT_EQ(values[0], values[1]);
}

}  // namespace
}  // namespace swath
