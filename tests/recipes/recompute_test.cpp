// recompute=activations: the bits of steps that keep the activations, in every recipe, with less memory.
#include <gtest/gtest.h>

#include "recipes/step_plan.h"
#include "tests/recipes/graph_case.h"

namespace swath {
namespace {

class Recompute : public testing::SceneTest, public ::testing::WithParamInterface<const char*> {
 protected:
  static void SetUpTestSuite() { make_scenes("recompute", 40); }
  static void TearDownTestSuite() { remove_scenes(); }

  static std::map<std::string, std::vector<std::byte>> state(const char* recipe, const char* recompute) {
    TrainOptions options = testing::graph_options({recipe, testing::recipe(recipe)}, small_options());
    if (options.recipe == "dac") testing::dac()(options);
    options.sampler.batch_size = 8;
    options.recompute = recompute;
    testing::RecipeBench<Recipe> bench(options);
    bench.recipe.begin_epoch(0);
    bench.set_learning_rate(1e-3f);
    for (const std::uint64_t step : {0, 1}) {
      bench.scalars->set_step(step);
      bench.run(bench.images(static_cast<std::int64_t>(8 * step), 8));
    }
    return bench.state();
  }
};

TEST_P(Recompute, HasTheBitsOfStepsThatKeepActivations) {
  const auto kept = state(GetParam(), "off"), again = state(GetParam(), "activations");
  for (const auto& [name, bytes] : kept) EXPECT_TRUE(again.at(name) == bytes) << name;
}

INSTANTIATE_TEST_SUITE_P(, Recompute, ::testing::Values("baseline", "bier", "dac", "diva", "sndl"),
                         [](const auto& recipe) { return std::string(recipe.param); });

TEST(RecomputePlan, TakesLessMemoryAndMovesMore) {
  for (const char* backbone : {"resnet18", "resnet50"}) {
    TrainOptions options;
    options.model.backbone = backbone;
    const auto plan = [&](const char* recompute) {
      options.recompute = recompute;
      return plan_step(options, {.rows = 16});
    };
    const auto bytes = [](const StepPlan& of) {
      double sum = 0;
      for (const StepLine& line : of.lines) sum += line.cost.bytes();
      return sum;
    };
    const StepPlan kept = plan("off"), again = plan("activations");
    EXPECT_LT(again.peak_memory, 0.95 * static_cast<double>(kept.peak_memory)) << backbone;
    EXPECT_GT(bytes(again), 1.01 * bytes(kept)) << backbone;
  }
}

}  // namespace
}  // namespace swath
