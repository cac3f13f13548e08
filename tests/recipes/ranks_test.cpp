// Several ranks on slices of a batch give the gradients of one rank on the whole: run by mpirun with any number of processes.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "engine/dist/ranks.h"
#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

Communicator* ranks = nullptr;

struct Method {
  std::string name, recipe, miner = "semihard";
  std::int64_t epoch = 0;
  std::string loss = "margin";
};

std::vector<Method> methods() {
  return {{"baseline_semihard", "baseline", "semihard"},
          {"baseline_distance", "baseline", "distance"},
          {"baseline_multilabel_semihard", "baseline", "multilabel_semihard"},
          {"baseline_nca", "baseline", "semihard", 0, "nca"},
          {"dac_divided", "dac"},
          {"dac_whole", "dac", "semihard", 8},
          {"bier", "bier"},
          {"diva", "diva"},
          {"sndl", "sndl"}};
}

void PrintTo(const Method& method, std::ostream* out) { *out << method.name; }

using Tensors = std::map<std::string, std::vector<float>>;

class RanksTest : public testing::SceneTest, public ::testing::WithParamInterface<Method> {
 protected:
  static void SetUpTestSuite() { make_scenes("ranks", 90); }
  static void TearDownTestSuite() { remove_scenes(); }

  static TrainOptions options_of(const Method& method) {
    TrainOptions made = small_options();
    made.recipe = method.recipe;
    made.miner.name = method.miner;
    made.loss.name = method.loss;
    made.model.dropout = 0.3f;
    made.dac.kmeans.clusters = 2;
    made.dac.finetune_epoch = 19;
    made.moco.n_key_batches = 2;
    made.ranks.sync_batch_norm = true;
    made.sampler.batch_size = 30;
    made.seed = 1;
    // By default these multiply a similarity by 50 and by 14 before its exponent is taken, and its rounding with it.
    made.binomial.cost = 2;
    made.bier.widths = {10, 10, 12};
    made.moco.tau = 0.3f;
    return made;
  }

  /// The first `rows` images as `share` of the ranks holds them.
  static Batch batch_of(const PackedSplit& split, std::int64_t rows, const Communicator& share) {
    static std::vector<std::int64_t> numbers(64);
    std::iota(numbers.begin(), numbers.end(), 0);
    Batch batch;
    batch.pixels = split.row(share.slice(rows).begin);
    batch.rows = numbers.data();
    batch.labels = split.labels().data();
    batch.n = rows;
    return batch;
  }

  /// A point where rounding stays small: residual branches add little, as in a trained network, where a fresh one magnifies
  /// each rounding from block to block; and features are sparse, so that embeddings lie apart and their differences keep their
  /// digits.
  static void calm(ParameterBlock& block) {
    const auto set = [&](const std::string& name, float value) {
      const Tensor& to = block.find(name)->value;
      to.copy_from_host(std::vector<float>(static_cast<std::size_t>(to.numel()), value).data());
    };
    for (const Parameter& p : block.parameters())
      if (p.name.ends_with(".bn2.weight")) set(p.name, 0.2f);
    set("backbone.layer4.1.bn2.weight", 1);
    set("backbone.layer4.1.bn2.bias", -1);
  }

  struct Outcome {
    std::vector<Tensors> steps;  // gradients and running statistics after each
    std::vector<std::vector<float>> statistics;
  };

  static Outcome outcome(const TrainOptions& options, const Method& method, std::int64_t rows, int steps, float rate,
                         Communicator& share) {
    testing::RecipeBench<Recipe> bench(options, "cpu", share);
    bench.set_learning_rate(rate);
    calm(bench.block);
    bench.recipe.begin_epoch(method.epoch);
    Outcome result;
    for (int step = 0; step < steps; ++step) {
      bench.scalars->set_step(static_cast<std::uint64_t>(step));
      result.statistics.push_back(bench.run(batch_of(bench.data.train, rows, share)));
      bench.add_tensors(result.steps.emplace_back());
    }
    return result;
  }
};

TEST_P(RanksTest, SlicesGiveTheGradientOfTheWhole) {
  const TrainOptions options = options_of(GetParam());
  const std::int64_t rows = 14;
  // The third step sends its gradients while the backward pass runs. Weights stay: an update divides by what may be rounding.
  const Outcome shared = outcome(options, GetParam(), rows, 3, 0, *ranks);
  const Outcome alone = outcome(options, GetParam(), rows, 3, 0, sole_rank());
  for (std::size_t step = 0; step < alone.steps.size(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    testing::expect_close(shared.steps[step], alone.steps[step], 1e-5);
    for (std::size_t i = 0; i < alone.statistics[step].size(); ++i)
      EXPECT_NEAR(shared.statistics[step][i], alone.statistics[step][i], 1e-5 * std::abs(alone.statistics[step][i]) + 1e-7);
  }
}

INSTANTIATE_TEST_SUITE_P(, RanksTest, ::testing::ValuesIn(methods()),
                         [](const ::testing::TestParamInfo<Method>& param) { return param.param.name; });

class RankStatistics : public RanksTest {};

TEST_P(RankStatistics, RunningOnesAreTheRanksMean) {
  TrainOptions options = options_of(GetParam());
  const std::int64_t rows = 4 * ranks->size();
  const Outcome joint = outcome(options, GetParam(), rows, 1, 0, *ranks);
  options.ranks.sync_batch_norm = false;
  const Outcome own = outcome(options, GetParam(), rows, 1, 0, *ranks);
  // Before the first normalisation nothing tells the two apart, and slices of equal size have the whole's mean together.
  const std::string first = "backbone.bn1.running_mean", later = "backbone.layer4.1.bn2.running_mean";
  testing::expect_close({{first, own.steps[0].at(first)}}, {{first, joint.steps[0].at(first)}}, 1e-5);
  EXPECT_NE(own.steps[0].at(later), joint.steps[0].at(later));
}

INSTANTIATE_TEST_SUITE_P(, RankStatistics, ::testing::Values(Method{"baseline", "baseline"}),
                         [](const ::testing::TestParamInfo<Method>& param) { return param.param.name; });

}  // namespace
}  // namespace swath

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const std::unique_ptr<swath::Communicator> joined = swath::join_ranks({.timeout = 120});
  swath::ranks = joined.get();
  return RUN_ALL_TESTS();
}
