// What tests of long trainings share: a training of a small network, and the memory at each of its validations.
#pragma once
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "data/scenes.h"
#include "recipes/trainer.h"
#include "tests/simulator_counts.h"

namespace swath::testing {

/// Without what the allocator keeps of freed memory.
inline std::size_t resident_bytes() {
  malloc_trim(0);
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// Memory at a validation: what the pool holds, what the driver has left (graphs, plans and events take of it as well), and the
/// process's.
struct Held {
  std::size_t pool, free, process;
};

class LeakCase : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("swath-leak-" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    ScenesOptions scenes;
    scenes.out = (folder_ / "scenes").string();
    scenes.images = 60;
    scenes.size = 32;
    generate_scenes(scenes);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// At least `steps` steps of four images with `validations` validations.
  std::vector<Held> train(const std::string& device_name, std::int64_t steps, std::int64_t validations, bool frozen) {
    TrainOptions options;
    options.data.root = (folder_ / "scenes").string();
    options.data.image_size = 32;
    options.data.packed = (folder_ / "packed").string();
    options.crop = 16;
    options.model.backbone = "resnet18";
    options.model.embedding = 16;
    options.model.frozen = frozen;
    options.sampler.kind = "shuffled";
    options.sampler.batch_size = 4;
    options.sampler.last = "drop";
    options.validation.untrained = false;
    options.validation.retrieval.ks = {1, 2};
    options.run.directory = (folder_ / "runs").string();
    options.run.name = "leak";
    const auto device = Device::open(device_name);
    const PackedSet data = open_or_pack(options.data, options.pack);
    const std::int64_t batches = data.train.rows() / options.sampler.batch_size;
    options.validation.every = (steps + batches * validations - 1) / (batches * validations);
    options.epochs = options.validation.every * validations;
    options.run.checkpoint_every = options.epochs;
    RunDir run = RunDir::create(options);
    Trainer trainer(*device, options, data, run);
    std::vector<Held> held;
    TrainHooks hooks;
    hooks.validated = [&](const ValidationReport&) {
      held.push_back(
          {device->pool()->reserved(), device->is_cuda() ? device->backend().memory_info().free : 0, resident_bytes()});
    };
    EXPECT_GE(trainer.run(hooks).steps, static_cast<std::uint64_t>(steps));
    EXPECT_EQ(held.size(), static_cast<std::size_t>(validations));
    return held;
  }

  static void expect_constant(const std::vector<Held>& held) {
    for (const Held& later : held) {
      EXPECT_EQ(later.pool, held.front().pool);
      // On a real device other programs take memory as well, and code is loaded when it is first called.
      EXPECT_GE(later.free + (simulator_counts().is_null() ? std::size_t{32} << 20 : 0), held.front().free);
    }
    EXPECT_LT(held.back().process, held.front().process + 1000000);
  }

  std::filesystem::path folder_;
};

}  // namespace swath::testing
