// Cases of loss_scale: gradients divided exactly, the scale's way up and down, and the skipped steps counted.
#include "kernels/loss_scale.h"

#include <limits>

#include "tests/kernels/kernel_case.h"

namespace swath::kernels::test {
namespace {

class LossScaleTest : public KernelTest {
 protected:
  struct Step {
    LossScaleState state;
    std::vector<float> grad;
  };
  static Step run(Place place, const std::vector<float>& grad, const LossScaleState& state, std::int32_t growth_steps,
                  std::size_t misalign = 0) {
    CaseMemory memory(place);
    const auto n = static_cast<std::int64_t>(grad.size());
    const LossScaleArgs args{
        .n = n,
        .grad = memory.put(grad, misalign),
        .state = memory.put_one(state),
        .growth_steps = growth_steps,
        .counters = memory.put(std::vector<std::uint32_t>(static_cast<std::size_t>(loss_scale_counters())))};
    memory.run([&](auto exec) { loss_scale(args, exec); });
    EXPECT_EQ(memory.get(args.counters, loss_scale_counters()), std::vector<std::uint32_t>(2)) << "counters are not zero again";
    return {memory.get_one(args.state), memory.get(args.grad, n)};
  }
};

TEST_P(LossScaleTest, DividesEveryGradientExactly) {
  for (const std::int64_t n : {0, 1, 3, 4, 31, 1025, 40000})
    for (const std::size_t misalign : {0, 1}) {
      const std::vector<float> grad = random_floats(n, 11);
      const Step step = run(GetParam(), grad, {.scale = 1024}, 2000, misalign);
      for (std::size_t i = 0; i < grad.size(); ++i) ASSERT_EQ(step.grad[i], grad[i] / 1024);
      EXPECT_EQ(step.state.found_inf, 0);
      EXPECT_EQ(step.state.scale, 1024);
      EXPECT_EQ(step.state.updates, 1u);
    }
}

TEST_P(LossScaleTest, OneNonfiniteGradientAnywhereSkipsTheStepAndHalvesTheScale) {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()})
    for (const std::size_t at : {0, 5, 39998, 39999}) {
      std::vector<float> grad = random_floats(40000, 12);
      grad[at] = bad;
      const Step step = run(GetParam(), grad, {.scale = 64, .good_steps = 7, .skipped_steps = 2, .updates = 9}, 2000);
      EXPECT_EQ(step.state.found_inf, 1);
      EXPECT_EQ(step.state.scale, 32);
      EXPECT_EQ(step.state.good_steps, 0);
      EXPECT_EQ(step.state.skipped_steps, 3);
      EXPECT_EQ(step.state.updates, 9u);
    }
}

TEST_P(LossScaleTest, DoublesAfterEnoughGoodStepsAndStaysWithinItsBounds) {
  const std::vector<float> good(5, 1.0f), bad(5, std::numeric_limits<float>::infinity());
  LossScaleState state{.scale = kLargestLossScale / 2, .found_inf = 1};
  std::vector<float> scales;
  for (int i = 0; i < 6; ++i) {
    state = run(GetParam(), good, state, 2).state;
    scales.push_back(state.scale / kLargestLossScale);
    EXPECT_EQ(state.found_inf, 0);
  }
  EXPECT_EQ(scales, (std::vector<float>{0.5f, 1, 1, 1, 1, 1}));
  EXPECT_EQ(state.updates, 6u);
  state.scale = kSmallestLossScale * 2;
  for (int i = 0; i < 3; ++i) state = run(GetParam(), bad, state, 2).state;
  EXPECT_EQ(state.scale, kSmallestLossScale);
}

SWATH_KERNEL_PLACES(LossScaleTest);

}  // namespace
}  // namespace swath::kernels::test
