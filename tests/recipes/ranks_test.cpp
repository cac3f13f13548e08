// Several ranks on slices of a batch give the gradients of one rank on the whole: run by mpirun with any number of processes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
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

// Winograd's convolutions round otherwise for another number of images.
double tolerance() { return std::getenv("SWATH_DIRECT_CONV") ? 1e-5 : 1e-4; }

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
  expect_same_steps(shared, alone, tolerance());
  if (!GetParam().sharded || !ranks->leads()) return;
  testing::expect_close({{"bank", floats(shared.state.at("nca.bank"))}}, {{"bank", floats(alone.state.at("nca.bank"))}},
                        tolerance());
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

// Four parameters in three buckets; a backward pass that writes them from the last to the first, one of them twice.
TEST(GradientBuckets, SetOutDuringTheSecondBackwardPassOfAKind) {
  const std::unique_ptr<Device> device = Device::open("cpu");
  ParameterBlock block;
  for (const char* name : {"a", "b", "c", "d"})
    block.declare(name, {64}, ParameterGroup::head, [](float* values, const Shape&) { std::fill_n(values, 64, 0.0f); });
  block.find("c")->trainable = Trainable::no;
  block.allocate(*device);
  GradientBuckets buckets(block, *ranks, 1);
  ASSERT_EQ(buckets.count(), 3);
  const auto pass = [&](std::uint64_t kind) {
    block.begin_step();
    buckets.begin(kind);
    std::vector<std::int64_t> early;
    for (const char* name : {"d", "b", "b", "a"}) {
      Parameter& parameter = *block.find(name);
      parameter.grad_mode();
      parameter.grad.copy_from_host(std::vector<float>(64, static_cast<float>(ranks->rank() + 1)).data());
      buckets.advance();
      early.push_back(buckets.early());
    }
    buckets.finish();
    const float sum = static_cast<float>(ranks->size() * (ranks->size() + 1)) / 2;
    for (const char* name : {"a", "b", "d"}) EXPECT_EQ(block.find(name)->grad.to_host<float>(), std::vector<float>(64, sum));
    EXPECT_EQ(block.find("c")->grad.to_host<float>(), std::vector<float>(64));
    return early;
  };
  EXPECT_EQ(pass(0), (std::vector<std::int64_t>{0, 0, 0, 0}));
  EXPECT_EQ(pass(0), (std::vector<std::int64_t>{1, 1, 2, 3}));
  EXPECT_EQ(pass(1), (std::vector<std::int64_t>{0, 0, 0, 0}));
}

}  // namespace
}  // namespace swath

int main(int argc, char** argv) {
  const std::unique_ptr<swath::Communicator> joined = swath::testing::start(argc, argv);
  return RUN_ALL_TESTS();
}
