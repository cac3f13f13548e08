// Cases of loss_scale: what it finds in parts of any type, the scale's way up and down, and the skipped steps counted.
#include "kernels/loss_scale.h"

#include <limits>

#include "tests/half_arrays.h"
#include "tests/kernels/kernel_case.h"

namespace swath::kernels::test {
namespace {

class LossScaleTest : public KernelTest {
 protected:
  /// The state after one launch over the parts.
  static LossScaleState run(CaseMemory& memory, const std::vector<LossScalePart>& parts, const LossScaleState& state,
                            std::int32_t growth_steps) {
    LossScaleArgs args{.count = static_cast<std::int64_t>(parts.size()),
                       .state = memory.put_one(state),
                       .growth_steps = growth_steps,
                       .counters = memory.put(std::vector<std::uint32_t>(static_cast<std::size_t>(loss_scale_counters())))};
    std::copy(parts.begin(), parts.end(), args.parts.begin());
    memory.run([&](auto exec) { loss_scale(args, exec); });
    EXPECT_EQ(memory.get(args.counters, loss_scale_counters()), std::vector<std::uint32_t>(2)) << "counters are not zero again";
    return memory.get_one(args.state);
  }
  static LossScaleState run(Place place, const std::vector<float>& grad, const LossScaleState& state,
                            std::int32_t growth_steps = 2000, std::size_t misalign = 0) {
    CaseMemory memory(place);
    const LossScalePart part{memory.put(grad, misalign), static_cast<std::int64_t>(grad.size()), DType::f32};
    return run(memory, {part}, state, growth_steps);
  }
};

TEST_P(LossScaleTest, FiniteGradientsLeaveTheScaleAndTellItsInverse) {
  for (const std::int64_t n : {0, 1, 3, 4, 31, 1025, 40000})
    for (const std::size_t misalign : {0, 1}) {
      const LossScaleState state = run(GetParam(), random_floats(n, 11), {.scale = 1024}, 2000, misalign);
      EXPECT_EQ(state.found_inf, 0);
      EXPECT_EQ(state.scale, 1024);
      EXPECT_EQ(state.inverse, 1.0f / 1024);
      EXPECT_EQ(state.updates, 1u);
    }
}

// Any place of any of several parts, the last elements of odd counts included.
template <class Half>
void expect_found_in_parts(Place place, DType type, const auto& state_of) {
  const std::vector<float> finite = random_floats(1027, 13);
  for (const std::size_t bad_part : {0, 1, 2, 3})
    for (const std::size_t at : {0, 600, 1026}) {
      CaseMemory memory(place);
      std::vector<std::vector<float>> grads(3, finite);
      if (bad_part < 3) grads[bad_part][at] = std::numeric_limits<float>::infinity();
      const std::vector<LossScalePart> parts{{memory.put(grads[0]), 1027, DType::f32},
                                             {memory.put(testing::narrowed<Half>(grads[1])), 1027, type},
                                             {memory.put(grads[2], 1), 1027, DType::f32}};
      EXPECT_EQ(state_of(memory, parts).found_inf, bad_part < 3 ? 1 : 0) << bad_part << ' ' << at;
    }
}

TEST_P(LossScaleTest, LooksThroughPartsOfAnyType) {
  const auto state_of = [](CaseMemory& memory, const std::vector<LossScalePart>& parts) {
    return run(memory, parts, {}, 2000);
  };
  expect_found_in_parts<bf16>(GetParam(), DType::bf16, state_of);
  expect_found_in_parts<f16>(GetParam(), DType::f16, state_of);
}

TEST_P(LossScaleTest, OneNonfiniteGradientAnywhereSkipsTheStepAndHalvesTheScale) {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()})
    for (const std::size_t at : {0, 5, 39998, 39999}) {
      std::vector<float> grad = random_floats(40000, 12);
      grad[at] = bad;
      const LossScaleState state = run(GetParam(), grad, {.scale = 64, .good_steps = 7, .skipped_steps = 2, .updates = 9});
      EXPECT_EQ(state.found_inf, 1);
      EXPECT_EQ(state.scale, 32);
      EXPECT_EQ(state.inverse, 1.0f / 64);
      EXPECT_EQ(state.good_steps, 0);
      EXPECT_EQ(state.skipped_steps, 3);
      EXPECT_EQ(state.updates, 9u);
    }
}

TEST_P(LossScaleTest, DoublesAfterEnoughGoodStepsAndStaysWithinItsBounds) {
  const std::vector<float> good(5, 1.0f), bad(5, std::numeric_limits<float>::infinity());
  LossScaleState state{.scale = kLargestLossScale / 2, .found_inf = 1};
  std::vector<float> scales;
  for (int i = 0; i < 6; ++i) {
    state = run(GetParam(), good, state, 2);
    scales.push_back(state.scale / kLargestLossScale);
    EXPECT_EQ(state.found_inf, 0);
  }
  EXPECT_EQ(scales, (std::vector<float>{0.5f, 1, 1, 1, 1, 1}));
  EXPECT_EQ(state.updates, 6u);
  state.scale = kSmallestLossScale * 2;
  for (int i = 0; i < 3; ++i) state = run(GetParam(), bad, state, 2);
  EXPECT_EQ(state.scale, kSmallestLossScale);
}

SWATH_KERNEL_PLACES(LossScaleTest);

}  // namespace
}  // namespace swath::kernels::test
