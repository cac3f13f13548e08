// Steps of DiVA on a CUDA device, real or simulated, against the CPU backend: losses, gradients, the key network and the queue;
// and what a later step costs (methods.md §7).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>

#include <nlohmann/json.hpp>

#include "data/pack.h"
#include "data/scenes.h"
#include "recipes/step.h"
#include "tests/cuda_device.h"
#include "tests/simulator_counts.h"

namespace swath {
namespace {

namespace fs = std::filesystem;
using testing::simulator_counts;

struct Keeper : StateVisitor {
  void tensor(const std::string& name, Tensor& value) override {
    if (value.dtype() == DType::f32)
      tensors[name] = value.to_host<float>();
    else
      pushed = value.to_host<std::uint64_t>()[0];
  }
  void scalar(const std::string&, std::int64_t&) override {}
  void scalar(const std::string&, std::uint64_t&) override {}
  void scalar(const std::string&, double&) override {}
  void scalar(const std::string&, std::string&) override {}
  std::map<std::string, std::vector<float>> tensors;
  std::uint64_t pushed = 0;
};

struct Result {
  std::vector<float> statistics;
  std::map<std::string, std::vector<float>> tensors;
  std::uint64_t pushed = 0;
  std::size_t reserved_before = 0, reserved_after = 0;  // bytes of device memory around the last step
  nlohmann::json counts;                                // what a simulator counted in the last step
};

class CudaDiva : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / ("swath-cuda-diva-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    ScenesOptions scenes;
    scenes.out = (folder_ / "scenes").string();
    scenes.images = 40;
    scenes.size = 40;
    generate_scenes(scenes);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  static Result run(const std::string& device_name, int steps) {
    TrainOptions options;
    options.recipe = "diva";
    options.data.root = (folder_ / "scenes").string();
    options.data.image_size = 40;
    options.data.packed = (folder_ / "packed").string();
    options.crop = 32;
    options.model.backbone = "resnet18";
    options.model.embedding = 32;
    options.sampler.classes_per_batch = 4;
    options.moco.n_key_batches = 2;
    const auto device = Device::open(device_name);
    const PackedSet data = open_or_pack(options.data, options.pack);
    ParameterBlock block;
    const auto recipe = make_recipe({*device, block, options, data.train});
    block.allocate(*device);
    Optimizer optimizer(block, options.optimizer);
    StepScalars scalars(*device);
    for (int group = 0; group < kParameterGroups; ++group) scalars.set_learning_rate(static_cast<ParameterGroup>(group), 1e-4f);
    TrainStep step(*device, *recipe, block, optimizer, scalars, options, data.train);
    recipe->begin_epoch(0);
    Result result;
    for (int i = 0; i < steps; ++i) {
      scalars.set_step(static_cast<std::uint64_t>(i));
      Batch batch;
      batch.pixels = data.train.pixels();
      batch.labels = data.train.labels().data();
      batch.n = 8;
      result.reserved_before = device->pool()->reserved();
      simulator_counts();
      step.run(batch);
      result.counts = simulator_counts();
      result.reserved_after = device->pool()->reserved();
    }
    result.statistics = step.drain().back().values;
    Keeper keeper;
    recipe->visit_state(keeper);
    result.tensors = keeper.tensors;
    result.pushed = keeper.pushed;
    for (const Parameter& p : block.parameters()) result.tensors["d " + p.name] = p.grad.to_host<float>();
    for (const Buffer& b : block.buffers()) result.tensors[b.name] = b.value.to_host<float>();
    return result;
  }

  static inline fs::path folder_;
};

TEST_F(CudaDiva, AStepMatchesTheCpuBackend) {
  const Result cuda = run("cuda", 1), cpu = run("cpu", 1);
  ASSERT_EQ(cuda.statistics.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i)
    EXPECT_NEAR(cuda.statistics[i], cpu.statistics[i], 1e-4 * std::abs(cpu.statistics[i])) << i;
  EXPECT_EQ(cuda.pushed, cpu.pushed);
  ASSERT_EQ(cuda.tensors.size(), cpu.tensors.size());
  for (const auto& [name, wanted] : cpu.tensors) {
    const std::vector<float>& got = cuda.tensors.at(name);
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      difference += std::pow(static_cast<double>(got[i]) - static_cast<double>(wanted[i]), 2);
      norm += std::pow(static_cast<double>(wanted[i]), 2);
    }
    EXPECT_LE(std::sqrt(difference), 2e-4 * std::sqrt(norm) + 1e-12) << name;
  }
}

TEST_F(CudaDiva, ALaterStepNeitherAllocatesNorWaits) {
  const Result result = run("cuda", 3);
  EXPECT_EQ(result.reserved_before, result.reserved_after);
  const nlohmann::json& counts = result.counts;
  if (counts.is_null()) GTEST_SKIP() << "only a simulator counts";
  EXPECT_EQ(counts.at("allocations"), 0);
  EXPECT_EQ(counts.at("frees"), 0);
  for (const char* wait : {"sync_stream", "sync_device", "sync_event", "sync_blocking_memcpy"})
    EXPECT_EQ(counts.at(wait), 0) << wait;
  // Images, once for both views; labels, and the step's scalars.
  EXPECT_EQ(counts.at("memcpy_h2d"), 3);
  EXPECT_EQ(counts.at("memcpy_d2h"), 0);
}

TEST_F(CudaDiva, TwoRunsGiveTheSameBits) {
  const Result first = run("cuda", 1), second = run("cuda", 1);
  EXPECT_EQ(first.tensors, second.tensors);
  EXPECT_EQ(first.statistics, second.statistics);
}

}  // namespace
}  // namespace swath
