// Steps of D&C on a CUDA device, real or simulated, against the CPU backend: clusters, losses, gradients and running
// statistics, of a sub-embedding and of the whole (methods.md §7).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "data/pack.h"
#include "data/scenes.h"
#include "recipes/step.h"
#include "tests/cuda_device.h"

namespace swath {
namespace {

namespace fs = std::filesystem;

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

class CudaDac : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / ("swath-cuda-dac-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    ScenesOptions scenes;
    scenes.out = (folder_ / "scenes").string();
    scenes.images = 40;
    scenes.size = 40;
    generate_scenes(scenes);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  /// A step of epoch 1, which trains a sub-embedding, or the whole embedding where finetune_epoch is 2.
  static Result run(const std::string& device_name, std::int64_t finetune_epoch) {
    TrainOptions options;
    options.recipe = "dac";
    options.data.root = (folder_ / "scenes").string();
    options.data.image_size = 40;
    options.data.packed = (folder_ / "packed").string();
    options.crop = 32;
    options.model.backbone = "resnet18";
    options.model.embedding = 32;
    options.sampler.classes_per_batch = 4;
    options.dac.kmeans.clusters = 2;
    options.dac.kmeans.retriever.faiss = "cpu";
    options.dac.finetune_epoch = finetune_epoch;
    const auto device = Device::open(device_name);
    const PackedSet data = open_or_pack(options.data, options.pack);
    ParameterBlock block;
    const auto recipe = make_recipe({*device, block, options, data.train});
    block.allocate(*device);
    Optimizer optimizer(block, options.optimizer);
    StepScalars scalars(*device);
    TrainStep step(*device, *recipe, block, optimizer, scalars, options, data.train);
    recipe->begin_epoch(1);
    Batch batch;
    batch.pixels = data.train.pixels();
    batch.labels = data.train.labels().data();
    batch.n = 8;
    batch.tag = 1;
    step.run(batch);
    Result result;
    result.statistics = step.drain().back().values;
    Keeper keeper;
    recipe->visit_state(keeper);
    result.assignment = keeper.assignment;
    for (const Parameter& p : block.parameters()) result.tensors["d " + p.name] = p.grad.to_host<float>();
    for (const Buffer& b : block.buffers()) result.tensors[b.name] = b.value.to_host<float>();
    return result;
  }

  static void expect_match(std::int64_t finetune_epoch) {
    const Result cuda = run("cuda", finetune_epoch), cpu = run("cpu", finetune_epoch);
    EXPECT_EQ(cuda.assignment, cpu.assignment);
    ASSERT_EQ(cuda.statistics.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i)
      EXPECT_NEAR(cuda.statistics[i], cpu.statistics[i], 1e-4 * std::abs(cpu.statistics[i])) << i;
    EXPECT_GT(cpu.statistics[1], 0) << "no active triplet";
    ASSERT_EQ(cuda.tensors.size(), cpu.tensors.size());
    for (const auto& [name, wanted] : cpu.tensors) {
      const std::vector<float>& got = cuda.tensors.at(name);
      double difference = 0, norm = 0;
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        difference += std::pow(static_cast<double>(got[i]) - static_cast<double>(wanted[i]), 2);
        norm += std::pow(static_cast<double>(wanted[i]), 2);
      }
      EXPECT_LE(std::sqrt(difference), 1e-4 * std::sqrt(norm) + 1e-12) << name;
    }
  }

  static inline fs::path folder_;
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
