// Steps of SNDL on a CUDA device, real or simulated, against the CPU backend: losses, gradients and the bank; and what a later
// step costs (methods.md §7).
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include <nlohmann/json.hpp>

#include "recipes/step.h"
#include "tests/cuda_device.h"
#include "tests/recipes/recipe_case.h"
#include "tests/simulator_counts.h"

namespace swath {
namespace {

using testing::simulator_counts;

struct Keeper : StateVisitor {
  void tensor(const std::string& name, Tensor& value) override { tensors[name] = value.to_host<float>(); }
  void scalar(const std::string&, std::int64_t&) override {}
  void scalar(const std::string&, std::uint64_t&) override {}
  void scalar(const std::string&, double&) override {}
  void scalar(const std::string&, std::string&) override {}
  std::map<std::string, std::vector<float>> tensors;
};

struct Result {
  std::vector<float> statistics;
  std::map<std::string, std::vector<float>> tensors;
  std::size_t reserved_before = 0, reserved_after = 0;  // bytes of device memory around the last step
  nlohmann::json counts;                                // what a simulator counted in the last step
};

class CudaSndl : public testing::SceneTest {
 protected:
  static void SetUpTestSuite() { make_scenes("cuda-sndl", 60); }
  static void TearDownTestSuite() { remove_scenes(); }
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  /// Steps on the first eight images, and the state after them.
  static Result run(const std::string& device_name, int steps) {
    TrainOptions options = small_options();
    options.recipe = "sndl";
    options.sampler.batch_size = 8;
    testing::RecipeBench<Recipe> bench(options, device_name);
    bench.set_learning_rate(1e-4f);
    bench.recipe.begin_epoch(0);
    Result result;
    for (int i = 0; i < steps; ++i) {
      bench.scalars->set_step(static_cast<std::uint64_t>(i));
      const Batch batch = bench.first_images(8);
      result.reserved_before = bench.device->pool()->reserved();
      simulator_counts();
      bench.step->run(batch);
      result.counts = simulator_counts();
      result.reserved_after = bench.device->pool()->reserved();
    }
    result.statistics = bench.step->drain().back().values;
    Keeper keeper;
    bench.recipe.visit_state(keeper);
    result.tensors = keeper.tensors;
    bench.add_tensors(result.tensors);
    return result;
  }
};

TEST_F(CudaSndl, AStepMatchesTheCpuBackend) {
  const Result cuda = run("cuda", 1), cpu = run("cpu", 1);
  ASSERT_EQ(cuda.statistics.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(cuda.statistics[i], cpu.statistics[i], 1e-4 * std::abs(cpu.statistics[i])) << i;
  ASSERT_TRUE(cpu.tensors.contains("nca.bank"));
  testing::expect_close(cuda.tensors, cpu.tensors, 1e-4);
}

TEST_F(CudaSndl, ALaterStepNeitherAllocatesNorWaits) {
  const Result result = run("cuda", 3);
  EXPECT_EQ(result.reserved_before, result.reserved_after);
  const nlohmann::json& counts = result.counts;
  if (counts.is_null()) GTEST_SKIP() << "only a simulator counts";
  // Images, labels, the rows' places, and the step's scalars.
  testing::expect_no_waits(counts, 4);
}

TEST_F(CudaSndl, TwoRunsGiveTheSameBits) {
  const Result first = run("cuda", 1), second = run("cuda", 1);
  EXPECT_EQ(first.tensors, second.tensors);
  EXPECT_EQ(first.statistics, second.statistics);
}

}  // namespace
}  // namespace swath
