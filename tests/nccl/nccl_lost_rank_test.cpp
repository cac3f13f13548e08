// A rank dies or hangs while another waits for it on its GPU: the other names it, and its state is that before the step. Run by
// mpirun with two processes, of which the second ends, or is stopped, without a word.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "tests/recipes/ranks_case.h"

namespace swath {
namespace {

using testing::ranks;
using Clock = std::chrono::steady_clock;

constexpr double kTimeout = 20;
enum class Loss : std::uint8_t { dies, hangs };

class LostRank : public testing::RankedScenes {
 protected:
  static void SetUpTestSuite() { make_scenes("lost", 90); }
  static void TearDownTestSuite() { remove_scenes(); }

  /// All of the state but the gradients: nobody reads what a backward pass left.
  static auto state_of(testing::RecipeBench<Recipe>& bench) {
    auto state = bench.state();
    std::erase_if(state, [](const auto& tensor) { return tensor.first.starts_with("d "); });
    return state;
  }

  /// Ends a step that rank 1 does not take part in, after two with both; whether run() had returned from it.
  static void lose(Loss how, const char* graph, bool returned) {
    const pid_t mine = ::getpid();
    pid_t processes[2];
    ranks->all_gather(&mine, sizeof mine, processes);
    TrainOptions options = options_of({"sndl", "sndl"});
    options.graph = graph;
    testing::RecipeBench<Recipe> bench(options, "cuda", *ranks);
    bench.set_learning_rate(1e-3f);
    const Batch batch = batch_of(bench.data.train, 13, *ranks);
    for (std::uint64_t step = 0; step < 2; ++step) {
      bench.scalars->set_step(step);
      bench.run(batch);
    }
    if (ranks->rank() == 1) {
      remove_scenes();
      if (how == Loss::hangs) ::kill(mine, SIGSTOP);
      ::_exit(0);
    }
    const auto before = state_of(bench);
    bench.scalars->set_step(2);
    const Clock::time_point begun = Clock::now();
    try {
      bench.run(batch);
      ADD_FAILURE() << "the step was finished alone";
    } catch (const RankError& error) {
      const std::string named = fmt::format("process {}) {}", processes[1], how == Loss::dies ? "died" : "has not answered");
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
      EXPECT_LT(std::chrono::duration<double>(Clock::now() - begun).count(), kTimeout + 10);
    }
    if (how == Loss::hangs) ::kill(processes[1], SIGKILL);
    EXPECT_EQ(bench.step->take_back(), returned);
    const auto after = state_of(bench);
    EXPECT_EQ(after.size(), before.size());
    for (const auto& [name, bytes] : before) EXPECT_TRUE(bytes == after.at(name)) << name;
  }
};

TEST_F(LostRank, LeavesAnEagerStepUndone) { lose(Loss::dies, "off", false); }
TEST_F(LostRank, LeavesARecordedStepUndone) { lose(Loss::dies, "auto", true); }
TEST_F(LostRank, LeavesAnEagerStepUndoneWhenItHangs) { lose(Loss::hangs, "off", false); }
TEST_F(LostRank, LeavesARecordedStepUndoneWhenItHangs) { lose(Loss::hangs, "auto", true); }

}  // namespace
}  // namespace swath

int main(int argc, char** argv) {
  const std::unique_ptr<swath::Communicator> joined = swath::testing::start(argc, argv, swath::kTimeout);
  if (!swath::testing::enough_gpus()) return 77;
  // A lost rank cannot take part in the end of MPI.
  const int result = RUN_ALL_TESTS();
  joined->say_failed();
  return result;
}
