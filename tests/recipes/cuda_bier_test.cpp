// A step of BIER on a CUDA device, real or simulated, against the CPU backend: the parts of the loss, every gradient, the
// running statistics and the updated parameters (methods.md §7).
#include <gtest/gtest.h>

#include <cmath>

#include "tests/cuda_device.h"
#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

class CudaBier : public testing::SceneTest {
 protected:
  static void SetUpTestSuite() { make_scenes("cuda-bier", 40); }
  static void TearDownTestSuite() { remove_scenes(); }
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  struct Result {
    std::vector<float> statistics;
    std::map<std::string, std::vector<float>> tensors;
  };
  static Result run(const std::string& device) {
    TrainOptions options = small_options();
    options.recipe = "bier";
    options.bier.regressor_hidden = 32;
    testing::RecipeBench<Recipe> bench(options, device);
    bench.recipe.begin_epoch(0);
    bench.set_learning_rate(1e-4f);
    Result result{bench.run(bench.first_images(8)), {}};
    bench.add_tensors(result.tensors);
    for (const Parameter& p : bench.block.parameters()) result.tensors[p.name] = p.value.to_host<float>();
    return result;
  }
};

TEST_F(CudaBier, AStepMatchesTheCpuBackend) {
  const Result cuda = run("cuda"), cpu = run("cpu");
  ASSERT_EQ(cuda.statistics.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(cuda.statistics[i], cpu.statistics[i], 1e-4 * std::abs(cpu.statistics[i])) << i;
  testing::expect_close(cuda.tensors, cpu.tensors, 1e-4);
}

}  // namespace
}  // namespace swath
