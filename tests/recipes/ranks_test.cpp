// Several ranks on slices of a batch give the gradients of one rank on the whole: run by mpirun with any number of processes.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/recipes/ranks_case.h"

namespace swath {
namespace {

using testing::Method;
using testing::methods;
using testing::ranks;

class RanksTest : public testing::RankedScenes, public ::testing::WithParamInterface<Method> {
 protected:
  static void SetUpTestSuite() { make_scenes("ranks", 90); }
  static void TearDownTestSuite() { remove_scenes(); }
};

std::vector<float> floats(const std::vector<std::byte>& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TEST_P(RanksTest, SlicesGiveTheGradientOfTheWhole) {
  const TrainOptions options = options_of(GetParam());
  const std::int64_t rows = 14;
  // The third step sends its gradients while the backward pass runs. Weights stay: an update divides by what may be rounding.
  const Outcome shared = outcome(options, GetParam(), rows, 3, 0, *ranks);
  const Outcome alone = outcome(options, GetParam(), rows, 3, 0, sole_rank());
  expect_same_steps(shared, alone);
  if (!GetParam().sharded || !ranks->leads()) return;
  testing::expect_close({{"bank", floats(shared.state.at("nca.bank"))}}, {{"bank", floats(alone.state.at("nca.bank"))}}, 1e-5);
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
  const std::unique_ptr<swath::Communicator> joined = swath::testing::start(argc, argv);
  return RUN_ALL_TESTS();
}
