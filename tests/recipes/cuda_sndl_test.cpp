// Steps of SNDL on a CUDA device, real or simulated, against the CPU backend: losses, gradients and the bank; and what a later
// step costs (methods.md §7).
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>

#include <nlohmann/json.hpp>

#include "data/pack.h"
#include "data/scenes.h"
#include "recipes/step.h"
#include "tests/cuda_device.h"

namespace swath {
namespace {

namespace fs = std::filesystem;

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

nlohmann::json simulator_counts() {
  const auto reset = reinterpret_cast<void (*)()>(dlsym(RTLD_DEFAULT, "gpusim_stats_reset"));
  const auto read = reinterpret_cast<int (*)(char*, int)>(dlsym(RTLD_DEFAULT, "gpusim_stats_json"));
  if (!reset || !read) return {};
  std::vector<char> text(1 << 16);
  read(text.data(), static_cast<int>(text.size()));
  reset();
  return nlohmann::json::parse(text.data());
}

class CudaSndl : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / ("swath-cuda-sndl-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    ScenesOptions scenes;
    scenes.out = (folder_ / "scenes").string();
    scenes.images = 60;
    scenes.size = 40;
    generate_scenes(scenes);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  /// Steps on the first eight images, and the state after them.
  static Result run(const std::string& device_name, int steps) {
    TrainOptions options;
    options.recipe = "sndl";
    options.data.root = (folder_ / "scenes").string();
    options.data.image_size = 40;
    options.data.packed = (folder_ / "packed").string();
    options.crop = 32;
    options.model.backbone = "resnet18";
    options.model.embedding = 32;
    options.sampler.batch_size = 8;
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
    std::vector<std::int64_t> rows(8);
    std::iota(rows.begin(), rows.end(), 0);
    Result result;
    for (int i = 0; i < steps; ++i) {
      scalars.set_step(static_cast<std::uint64_t>(i));
      Batch batch;
      batch.pixels = data.train.pixels();
      batch.labels = data.train.labels().data();
      batch.rows = rows.data();
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
    for (const Parameter& p : block.parameters()) result.tensors["d " + p.name] = p.grad.to_host<float>();
    for (const Buffer& b : block.buffers()) result.tensors[b.name] = b.value.to_host<float>();
    return result;
  }

  static inline fs::path folder_;
};

TEST_F(CudaSndl, AStepMatchesTheCpuBackend) {
  const Result cuda = run("cuda", 1), cpu = run("cpu", 1);
  ASSERT_EQ(cuda.statistics.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(cuda.statistics[i], cpu.statistics[i], 1e-4 * std::abs(cpu.statistics[i])) << i;
  ASSERT_EQ(cuda.tensors.size(), cpu.tensors.size());
  ASSERT_TRUE(cpu.tensors.contains("nca.bank"));
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

TEST_F(CudaSndl, ALaterStepNeitherAllocatesNorWaits) {
  const Result result = run("cuda", 3);
  EXPECT_EQ(result.reserved_before, result.reserved_after);
  const nlohmann::json& counts = result.counts;
  if (counts.is_null()) GTEST_SKIP() << "only a simulator counts";
  EXPECT_EQ(counts.at("allocations"), 0);
  EXPECT_EQ(counts.at("frees"), 0);
  for (const char* wait : {"sync_stream", "sync_device", "sync_event", "sync_blocking_memcpy"})
    EXPECT_EQ(counts.at(wait), 0) << wait;
  // Images, labels, the rows' places, and the step's scalars.
  EXPECT_EQ(counts.at("memcpy_h2d"), 4);
  EXPECT_EQ(counts.at("memcpy_d2h"), 0);
}

TEST_F(CudaSndl, TwoRunsGiveTheSameBits) {
  const Result first = run("cuda", 1), second = run("cuda", 1);
  EXPECT_EQ(first.tensors, second.tensors);
  EXPECT_EQ(first.statistics, second.statistics);
}

}  // namespace
}  // namespace swath
