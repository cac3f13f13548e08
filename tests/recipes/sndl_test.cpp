// SNDL: what its objective adds up, which rows of the bank a step moves, and how its batches are drawn (methods.md §1, §7).
#include "recipes/sndl.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "recipes/trainer.h"
#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

namespace fs = std::filesystem;

struct BankFinder : StateVisitor {
  void tensor(const std::string& name, Tensor& value) override {
    if (name == "nca.bank") bank = value;
  }
  void scalar(const std::string&, std::int64_t&) override { FAIL(); }
  void scalar(const std::string&, std::uint64_t&) override { FAIL(); }
  void scalar(const std::string&, double&) override { FAIL(); }
  void scalar(const std::string&, std::string&) override { FAIL(); }
  Tensor bank;
};

class SndlTest : public testing::SceneTest {
 protected:
  static void SetUpTestSuite() { make_scenes("sndl", 120); }
  static void TearDownTestSuite() { remove_scenes(); }

  static TrainOptions options() {
    TrainOptions made = small_options();
    made.recipe = "sndl";
    made.model.embedding = 16;
    made.sampler.batch_size = 9;
    return made;
  }
};

struct Workbench : testing::RecipeBench<Sndl> {
  using RecipeBench::RecipeBench;
  std::vector<float> bank() {
    BankFinder finder;
    recipe.visit_state(finder);
    return finder.bank.to_host<float>();
  }
  /// One step on the given images; loss, then the statistics.
  std::vector<float> run(const std::vector<std::int64_t>& rows) {
    std::vector<std::uint8_t> pixels;
    std::vector<std::uint64_t> labels;
    const auto bytes = static_cast<std::size_t>(40 * 40 * 3);
    for (const std::int64_t row : rows) {
      const std::uint8_t* image = data.train.row(row);
      pixels.insert(pixels.end(), image, image + bytes);
      labels.insert(labels.end(), data.train.labels().row(row), data.train.labels().row(row) + data.train.labels().words());
    }
    Batch batch;
    batch.pixels = pixels.data();
    batch.labels = labels.data();
    batch.rows = rows.data();
    batch.n = static_cast<std::int64_t>(rows.size());
    return RecipeBench::run(batch);
  }
};

TEST_F(SndlTest, TheObjectiveIsTheWeightedSumOfItsParts) {
  TrainOptions wanted = options();
  wanted.sndl.nca = 0.7f;
  wanted.sndl.bce = 3;
  Workbench bench(wanted);
  bench.recipe.begin_epoch(0);
  const std::vector<float> values = bench.run({0, 1, 2, 3, 4, 5, 6, 7});
  ASSERT_EQ(bench.step->names(), (std::vector<std::string>{"loss", "nca", "bce"}));
  EXPECT_NEAR(values[0], 0.7 * values[1] + 3 * values[2], 1e-5 * values[0]);
  EXPECT_GT(values[1], 0);
  // A fresh layer of small weights decides nothing: log 2 for every class, more or less.
  EXPECT_NEAR(values[2], std::log(2.0), 0.2);
  EXPECT_EQ(bench.block.find("bce.weight")->shape, (Shape{bench.data.train.labels().classes(), 16}));
  EXPECT_EQ(bench.block.find("head.embedding.weight")->shape, (Shape{16, 512}));
}

TEST_F(SndlTest, AStepMovesTheBankRowsOfItsImagesByTheMomentumOfTheEpoch) {
  TrainOptions wanted = options();
  wanted.nca.momentum_milestones = {3};
  wanted.nca.momentum_values = {1};
  Workbench bench(wanted);
  const std::vector<float> before = bench.bank();
  ASSERT_EQ(before.size(), static_cast<std::size_t>(bench.data.train.rows() * 16));
  const std::vector<std::int64_t> rows{4, 1, 11, 30, 7, 2};
  bench.recipe.begin_epoch(2);
  bench.run(rows);
  const std::vector<float> after = bench.bank();
  const std::set<std::int64_t> in_batch(rows.begin(), rows.end());
  for (std::int64_t row = 0; row < bench.data.train.rows(); ++row) {
    double squares = 0, moved = 0;
    for (std::int64_t k = row * 16; k < (row + 1) * 16; ++k) {
      const auto i = static_cast<std::size_t>(k);
      squares += static_cast<double>(after[i]) * static_cast<double>(after[i]);
      moved += std::abs(static_cast<double>(after[i]) - static_cast<double>(before[i]));
    }
    if (in_batch.contains(row)) {
      EXPECT_NEAR(squares, 1, 1e-5) << row;
      EXPECT_GT(moved, 0.1) << row;
    } else {
      EXPECT_EQ(moved, 0) << row;
    }
  }
  bench.recipe.begin_epoch(3);
  bench.run(rows);
  const std::vector<float> still = bench.bank();
  for (std::size_t i = 0; i < still.size(); ++i) EXPECT_NEAR(still[i], after[i], 1e-6) << i;
}

TEST_F(SndlTest, BatchesAreShuffledUnlessTheConfigurationBalancesThem) {
  Workbench shuffled(options());
  Sampler& sampler = shuffled.recipe.sampler();
  sampler.begin_epoch(0);
  std::vector<std::size_t> sizes;
  std::set<std::int64_t> seen;
  for (SampledBatch batch; sampler.next(batch); sizes.push_back(batch.rows.size()))
    seen.insert(batch.rows.begin(), batch.rows.end());
  const auto images = static_cast<std::size_t>(shuffled.data.train.rows());
  EXPECT_EQ(seen.size(), images);
  ASSERT_NE(images % 9, 0u) << "no last batch that is not full";
  EXPECT_EQ(sizes.front(), 9u);
  EXPECT_EQ(sizes.back(), images % 9);

  TrainOptions balanced = options();
  balanced.sampler.kind = "balanced";
  balanced.sampler.classes_per_batch = 3;
  EXPECT_EQ(Workbench(balanced).recipe.sampler().max_rows(), 6);
}

TEST_F(SndlTest, ABatchLargerThanTheSplitIsRefused) {
  TrainOptions wanted = options();
  wanted.sampler.batch_size = 120;
  try {
    const Workbench bench(wanted);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("sampler.batch_size 120"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace swath
