// Trainings of a few dozen replayed steps on a CUDA device, real or simulated: the loss falls as on the CPU, in float32,
// bfloat16 and float16, there also with convolutions that normalise.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/cuda_device.h"
#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

constexpr std::size_t kSteps = 36, kPart = 5;

struct Arithmetic {
  const char *name, *precision = name, *pipeline = "off";
};

class CudaTraining : public testing::SceneTest, public ::testing::WithParamInterface<Arithmetic> {
 protected:
  static void SetUpTestSuite() {
    make_scenes("cuda-training", 40);
    cpu_ = new std::vector<double>(losses("cpu", {"fp32"}));
  }
  static void TearDownTestSuite() {
    delete cpu_;
    remove_scenes();
  }
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  /// The losses of steps that learn the same eight images: of BCE, since a mean over the triplets that still contribute need
  /// not fall. The whole network is trained.
  static std::vector<double> losses(const std::string& device, const Arithmetic& arithmetic) {
    TrainOptions options = small_options();
    options.loss.name = "bce";
    options.precision = arithmetic.precision;
    options.conv_pipeline = arithmetic.pipeline;
    testing::RecipeBench<Recipe> bench(options, device);
    bench.recipe.begin_epoch(0);
    bench.set_learning_rate(1e-3f);
    std::vector<double> found;
    for (std::uint64_t step = 0; step < kSteps; ++step) {
      bench.scalars->set_step(step);
      found.push_back(static_cast<double>(bench.run(bench.first_images(8)).at(0)));
    }
    EXPECT_EQ(bench.step->graph({8, 0}) != nullptr, device == "cuda");
    return found;
  }

  /// The mean of the last losses over that of the first.
  static double fall(const std::vector<double>& all) {
    double first = 0, last = 0;
    for (std::size_t i = 0; i < kPart; ++i) first += all[i], last += all[kSteps - 1 - i];
    return last / first;
  }

  static inline std::vector<double>* cpu_ = nullptr;
};

TEST_P(CudaTraining, TheLossFallsAsOnTheCpu) {
  const std::vector<double> cuda = losses("cuda", GetParam());
  EXPECT_LT(fall(*cpu_), 0.95);
  EXPECT_NEAR(fall(cuda), fall(*cpu_), 0.01);
  // Roundings differ from the first step on and grow with each.
  EXPECT_NEAR(cuda[0], (*cpu_)[0], 0.01 * (*cpu_)[0]);
}

INSTANTIATE_TEST_SUITE_P(, CudaTraining,
                         ::testing::Values(Arithmetic{"fp32"}, Arithmetic{"bf16"}, Arithmetic{"fp16"},
                                           Arithmetic{"conv_pipeline", "fp16", "on"}),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace swath
