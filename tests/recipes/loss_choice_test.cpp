// The recipe baseline with each of the losses that loss.name can choose.
#include <gtest/gtest.h>

#include "losses/loss_choice.h"
#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

class LossChoice : public testing::SceneTest, public ::testing::WithParamInterface<std::string> {
 protected:
  static void SetUpTestSuite() { make_scenes("loss-choice", 60); }
  static void TearDownTestSuite() { remove_scenes(); }

  static TrainOptions options(const std::string& loss) {
    TrainOptions made = small_options();
    made.loss.name = loss;
    return made;
  }
};

using LossChoiceOf = LossChoice;

TEST_P(LossChoiceOf, FallsOnOneBatch) {
  testing::RecipeBench<Recipe> bench(options(GetParam()));
  bench.recipe.begin_epoch(0);
  bench.set_learning_rate(1e-3f);
  float first = 0, last = 0;
  for (std::uint64_t i = 0; i < 30; ++i) {
    bench.scalars->set_step(i);
    const std::vector<float> values = bench.run(bench.first_images(20));
    EXPECT_EQ(values.size(), 1 + bench.recipe.statistic_names().size());
    last = values.at(0);
    if (i == 0) first = last;
  }
  EXPECT_GT(first, 0);
  EXPECT_LT(last, 0.9f * first);
}

/// All but the margin loss: a mean over the triplets that still contribute need not fall.
std::vector<std::string> all_but_margin() {
  std::vector<std::string> names = LossOptions::loss_names();
  names.erase(names.begin());
  return names;
}

INSTANTIATE_TEST_SUITE_P(, LossChoiceOf, ::testing::ValuesIn(all_but_margin()),
                         [](const ::testing::TestParamInfo<std::string>& param) { return param.param; });

TEST_F(LossChoice, NcaAndBceAreThoseOfSndl) {
  TrainOptions sndl = options("margin");
  sndl.recipe = "sndl";
  sndl.sampler.batch_size = 12;
  testing::RecipeBench<Recipe> both(sndl);
  both.recipe.begin_epoch(0);
  const std::vector<float> parts = both.run(both.first_images(12));  // loss, nca, bce
  std::size_t at = 1;
  for (const char* name : {"nca", "bce"}) {
    testing::RecipeBench<Recipe> alone(options(name));
    alone.recipe.begin_epoch(0);
    EXPECT_EQ(alone.run(alone.first_images(12)).at(0), parts.at(at++)) << name;
  }
}

TEST_F(LossChoice, TheBankOfNcaIsPartOfTheState) {
  testing::RecipeBench<Recipe> bench(options("nca"));
  bench.recipe.begin_epoch(0);
  const auto before = bench.state();
  bench.run(bench.first_images(12));
  ASSERT_TRUE(before.contains("nca.bank"));
  EXPECT_NE(bench.state().at("nca.bank"), before.at("nca.bank"));
}

std::string refusal(const TrainOptions& options) {
  try {
    testing::RecipeBench<Recipe> bench(options);
  } catch (const UserError& problem) {
    return problem.what();
  }
  return "accepted";
}

TEST_F(LossChoice, AnotherRecipesLossOrAnUnknownOneIsRefused) {
  TrainOptions made = options("binomial");
  made.recipe = "dac";
  EXPECT_EQ(refusal(made),
            "loss.name is binomial, but the recipe dac has losses of its own; leave loss.name out, or set recipe=baseline");
  EXPECT_EQ(refusal(options("triplet")), "unknown loss \"triplet\"; there are: margin, binomial, nca, bce");
}

}  // namespace
}  // namespace swath
