// Steps of D&C on a CUDA device, real or simulated, against the CPU backend: clusters, losses, gradients and running
// statistics, of a sub-embedding and of the whole (methods.md §7).
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "recipes/step.h"
#include "tests/cuda_device.h"
#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

struct Keeper : StateVisitor {
  void tensor(const std::string&, Tensor& value) override { assignment = value.to_host<std::int64_t>(); }
  void scalar(const std::string&, std::int64_t&) override {}
  void scalar(const std::string&, std::uint64_t&) override {}
  void scalar(const std::string&, double&) override {}
  void scalar(const std::string&, std::string&) override {}
  std::vector<std::int64_t> assignment;
};

struct Result {
  std::vector<float> statistics;
  std::vector<std::int64_t> assignment;
  std::map<std::string, std::vector<float>> tensors;
};

class CudaDac : public testing::SceneTest {
 protected:
  static void SetUpTestSuite() { make_scenes("cuda-dac", 40); }
  static void TearDownTestSuite() { remove_scenes(); }
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  /// A step of epoch 1, which trains a sub-embedding, or the whole embedding where finetune_epoch is 2.
  static Result run(const std::string& device_name, std::int64_t finetune_epoch) {
    TrainOptions options = small_options();
    options.recipe = "dac";
    options.dac.kmeans.clusters = 2;
    options.dac.kmeans.retriever.faiss = "cpu";
    options.dac.finetune_epoch = finetune_epoch;
    testing::RecipeBench<Recipe> bench(options, device_name);
    bench.recipe.begin_epoch(1);
    Batch batch = bench.first_images(8);
    batch.tag = 1;
    bench.step->run(batch);
    Result result;
    result.statistics = bench.step->drain().back().values;
    Keeper keeper;
    bench.recipe.visit_state(keeper);
    result.assignment = keeper.assignment;
    bench.add_tensors(result.tensors);
    return result;
  }

  static void expect_match(std::int64_t finetune_epoch) {
    const Result cuda = run("cuda", finetune_epoch), cpu = run("cpu", finetune_epoch);
    EXPECT_EQ(cuda.assignment, cpu.assignment);
    ASSERT_EQ(cuda.statistics.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i)
      EXPECT_NEAR(cuda.statistics[i], cpu.statistics[i], 1e-4 * std::abs(cpu.statistics[i])) << i;
    EXPECT_GT(cpu.statistics[1], 0) << "no active triplet";
    testing::expect_close(cuda.tensors, cpu.tensors, 1e-4);
  }
};

TEST_F(CudaDac, AStepOfASubEmbeddingMatchesTheCpuBackend) { expect_match(110); }

TEST_F(CudaDac, AStepOfTheWholeEmbeddingMatchesTheCpuBackend) { expect_match(2); }

TEST_F(CudaDac, TwoRunsGiveTheSameBits) {
  const Result first = run("cuda", 110), second = run("cuda", 110);
  EXPECT_EQ(first.assignment, second.assignment);
  EXPECT_EQ(first.tensors, second.tensors);
  EXPECT_EQ(first.statistics, second.statistics);
}

}  // namespace
}  // namespace swath
