// Whole training steps of the baseline on a CUDA device, real or simulated, against the CPU backend: loss, every gradient,
// running statistics and the updated parameters; and in bfloat16 against float32.
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

struct StepResult {
  std::vector<float> statistics;
  std::map<std::string, std::vector<float>> tensors;
  std::vector<std::size_t> reserved;   // bytes of device memory after each step
  std::vector<nlohmann::json> counts;  // what a simulator counted in each step; nothing on a real device
};

// ‖a − b‖ / ‖b‖, or ‖a‖ where b is zero.
double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(norm > 0 ? difference / norm : difference);
}

class CudaStep : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / ("swath-cuda-step-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    ScenesOptions scenes;
    scenes.out = (folder_ / "scenes").string();
    scenes.images = 40;
    scenes.size = 40;
    generate_scenes(scenes);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  static TrainOptions options() {
    TrainOptions made;
    made.data.root = (folder_ / "scenes").string();
    made.data.image_size = 40;
    made.data.packed = (folder_ / "packed").string();
    made.crop = 32;
    made.model.backbone = "resnet18";
    made.model.embedding = 32;
    made.sampler.classes_per_batch = 4;
    return made;
  }

  // Steps on the first eight images of the training split.
  static StepResult run(const std::string& device_name, const TrainOptions& options, int steps) {
    const auto device = Device::open(device_name);
    const PackedSet data = open_or_pack(options.data, options.pack);
    ParameterBlock block;
    const auto recipe = make_recipe({*device, block, options, data.train});
    block.allocate(*device);
    Optimizer optimizer(block, options.optimizer);
    StepScalars scalars(*device);
    TrainStep step(*device, *recipe, block, optimizer, scalars, options, data.train);
    StepResult result;
    for (int i = 0; i < steps; ++i) {
      scalars.set_step(static_cast<std::uint64_t>(i));
      for (int group = 0; group < kParameterGroups; ++group)
        scalars.set_learning_rate(static_cast<ParameterGroup>(group), 1e-4f * static_cast<float>(1 + 2 * group));
      Batch batch;
      batch.pixels = data.train.pixels();
      batch.labels = data.train.labels().data();
      batch.n = 8;
      simulator_counts();
      step.run(batch);
      result.counts.push_back(simulator_counts());
      result.reserved.push_back(device->pool()->reserved());
    }
    result.statistics = step.drain().back().values;
    for (const Parameter& p : block.parameters()) {
      result.tensors["d " + p.name] = p.grad.to_host<float>();
      result.tensors[p.name] = p.value.to_host<float>();
    }
    for (const Buffer& b : block.buffers()) result.tensors[b.name] = b.value.to_host<float>();
    return result;
  }

  static inline fs::path folder_;
};

TEST_F(CudaStep, EveryTensorOfAStepMatchesTheCpuBackend) {
  const StepResult cuda = run("cuda", options(), 1), cpu = run("cpu", options(), 1);
  ASSERT_EQ(cuda.tensors.size(), cpu.tensors.size());
  ASSERT_GT(cpu.statistics.at(1), 0) << "no active triplet: the step would test nothing";
  EXPECT_NEAR(cuda.statistics.at(0), cpu.statistics.at(0), 1e-4 * std::abs(cpu.statistics.at(0)));
  EXPECT_EQ(cuda.statistics.at(1), cpu.statistics.at(1));
  for (const auto& [name, values] : cpu.tensors) {
    const double difference = relative_difference(cuda.tensors.at(name), values);
    EXPECT_LE(difference, 1e-4) << name;
  }
}

TEST_F(CudaStep, AStepOnMultilabelTripletsMatchesTheCpuBackend) {
  TrainOptions multilabel = options();
  multilabel.miner.name = "multilabel_semihard";
  multilabel.miner.capacity = 20;
  const StepResult cuda = run("cuda", multilabel, 1), cpu = run("cpu", multilabel, 1);
  ASSERT_GT(cpu.statistics.at(1), 0) << "no active triplet: the step would test nothing";
  EXPECT_NEAR(cuda.statistics.at(0), cpu.statistics.at(0), 1e-4 * std::abs(cpu.statistics.at(0)));
  EXPECT_EQ(cuda.statistics.at(1), cpu.statistics.at(1));
  EXPECT_EQ(cuda.statistics.at(2), cpu.statistics.at(2));
  for (const auto& [name, values] : cpu.tensors) EXPECT_LE(relative_difference(cuda.tensors.at(name), values), 1e-4) << name;
}

TEST_F(CudaStep, LaterStepsTakeNoMoreMemory) {
  const StepResult result = run("cuda", options(), 3);
  EXPECT_EQ(result.reserved[1], result.reserved[2]);
}

TEST_F(CudaStep, LaterStepsNeitherAllocateNorWait) {
  const nlohmann::json counts = run("cuda", options(), 2).counts.at(1);
  if (counts.is_null()) GTEST_SKIP() << "only a simulator counts";
  EXPECT_EQ(counts.at("allocations"), 0);
  EXPECT_EQ(counts.at("frees"), 0);
  for (const char* wait : {"sync_stream", "sync_device", "sync_event", "sync_blocking_memcpy"})
    EXPECT_EQ(counts.at(wait), 0) << wait;
  // Images, labels, and the step's scalars.
  EXPECT_EQ(counts.at("memcpy_h2d"), 3);
  EXPECT_EQ(counts.at("memcpy_d2h"), 0);
}

TEST_F(CudaStep, TwoRunsGiveTheSameBits) {
  const StepResult first = run("cuda", options(), 2), second = run("cuda", options(), 2);
  EXPECT_EQ(first.tensors, second.tensors);
}

TEST_F(CudaStep, Bf16StaysCloseToFloat32) {
  TrainOptions narrow = options();
  narrow.precision = "bf16";
  const StepResult bf16 = run("cuda", narrow, 1), f32 = run("cuda", options(), 1);
  EXPECT_NEAR(bf16.statistics.at(0), f32.statistics.at(0), 0.05 * std::abs(f32.statistics.at(0)));
  // The running statistics of the first layers have seen the fewest roundings.
  EXPECT_LE(relative_difference(bf16.tensors.at("backbone.bn1.running_var"), f32.tensors.at("backbone.bn1.running_var")), 0.02);
}

}  // namespace
}  // namespace swath
