// What tests of recipes share: generated scenes, the options of a small network, steps without a trainer, comparisons.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include "data/pack.h"
#include "data/scenes.h"
#include "engine/dist/ranks.h"
#include "recipes/step.h"
#include "tests/half_arrays.h"

namespace swath::testing {

/// ResNet-18 on images of 40 × 40, crops of 32 × 32.
inline TrainOptions small_network() {
  TrainOptions made;
  made.data.image_size = 40;
  made.crop = 32;
  made.model.backbone = "resnet18";
  made.model.embedding = 32;
  made.sampler.classes_per_batch = 4;
  return made;
}

/// A suite with an archive of scenes of 40 × 40 in a folder of its own.
class SceneTest : public ::testing::Test {
 protected:
  static void make_scenes(const std::string& suite, std::int64_t images) {
    folder_ = std::filesystem::temp_directory_path() / ("swath-" + suite + "-" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    ScenesOptions scenes;
    scenes.out = (folder_ / "scenes").string();
    scenes.images = images;
    scenes.size = 40;
    generate_scenes(scenes);
  }
  static void remove_scenes() { std::filesystem::remove_all(folder_); }

  /// The small network on these scenes.
  static TrainOptions small_options() {
    TrainOptions made = small_network();
    made.data.root = (folder_ / "scenes").string();
    made.data.packed = (folder_ / "packed").string();
    return made;
  }

  static inline std::filesystem::path folder_;
};

/// Every tensor of a recipe's state.
struct StateBytes : StateVisitor {
  void tensor(const std::string& name, Tensor& value) override {
    values[name].resize(value.bytes());
    if (value.bytes()) value.copy_to_host(values[name].data());
  }
  void scalar(const std::string&, std::int64_t&) override {}
  void scalar(const std::string&, std::uint64_t&) override {}
  void scalar(const std::string&, double&) override {}
  void scalar(const std::string&, std::string&) override {}
  std::map<std::string, std::vector<std::byte>> values;
};

/// A tensor of any floating type, times a factor.
inline std::vector<float> floats_of(const Tensor& tensor, float factor) {
  std::vector<float> values;
  if (tensor.dtype() == DType::bf16) values = widened(tensor.to_host<kernels::bf16>());
  if (tensor.dtype() == DType::f16) values = widened(tensor.to_host<kernels::f16>());
  if (tensor.dtype() == DType::f32) values = tensor.to_host<float>();
  for (float& value : values) value *= factor;
  return values;
}

/// A recipe of type R (Recipe: the one that options.recipe names) and steps of it, without a trainer. Several ranks with the
/// device "cuda" have a GPU each.
template <class R>
struct RecipeBench {
  explicit RecipeBench(const TrainOptions& with, const std::string& device_name = "cpu", Communicator& of = sole_rank(),
                       const std::shared_ptr<Allocator>& memory = nullptr)
      : options(with),
        ranks(of),
        device(open(device_of_rank(device_name, ranks), device_options(with), memory)),
        joined(join_devices(ranks, *device)),
        data(open_or_pack(options.data, options.pack)),
        owned(make({*device, block, options, data.train, joined ? *joined : ranks})),
        recipe(*owned) {
    block.allocate(*device);
    optimizer = std::make_unique<Optimizer>(block, options.optimizer);
    scalars = std::make_unique<StepScalars>(*device);
    step = std::make_unique<TrainStep>(*device, recipe, block, *optimizer, *scalars, options, data.train,
                                       joined ? *joined : ranks);
  }

  static std::unique_ptr<Device> open(const std::string& name, DeviceOptions made, const std::shared_ptr<Allocator>& memory) {
    made.allocator = memory;
    return Device::open(name, made);
  }
  static std::unique_ptr<R> make(const RecipeContext& context) {
    if constexpr (std::is_same_v<R, Recipe>) {
      return make_recipe(context);
    } else {
      return std::make_unique<R>(context);
    }
  }

  void set_learning_rate(float rate) {
    for (int group = 0; group < kParameterGroups; ++group) scalars->set_learning_rate(static_cast<ParameterGroup>(group), rate);
  }
  /// n images of the training split from `first` on.
  Batch images(std::int64_t first, std::int64_t n) {
    SWATH_CHECK(first + n <= data.train.rows());
    places.resize(static_cast<std::size_t>(data.train.rows()));
    std::iota(places.begin(), places.end(), 0);
    Batch batch;
    batch.pixels = data.train.row(first);
    batch.labels = data.train.labels().data() + first * data.train.labels().words();
    batch.rows = places.data() + first;
    batch.n = n;
    return batch;
  }
  Batch first_images(std::int64_t n) { return images(0, n); }
  /// One step; loss, then the statistics.
  std::vector<float> run(const Batch& batch) {
    step->run(batch);
    return step->drain().back().values;
  }
  /// Adds every gradient of the last step, as "d <name>", and every running statistic.
  void add_tensors(std::map<std::string, std::vector<float>>& tensors) const {
    StateBytes kept;
    step->visit_state(kept);
    kernels::LossScaleState scale{.inverse = 1};
    if (!kept.values.empty()) std::memcpy(&scale, kept.values.at("loss_scale").data(), sizeof scale);
    for (const Parameter& p : block.parameters()) tensors["d " + p.name] = floats_of(block.gradient_of(p), scale.inverse);
    for (const Buffer& b : block.buffers()) tensors[b.name] = b.value.to_host<float>();
  }

  /// Every tensor that training changes, as bytes; what is spread over the ranks on rank 0.
  std::map<std::string, std::vector<std::byte>> state() {
    StateBytes bytes;
    recipe.gather_state();
    if (recipe.holds_all_state() || ranks.leads()) recipe.visit_state(bytes);
    recipe.drop_gathered();
    for (auto [name, tensor] : {std::pair{"values", block.values()}, std::pair{"buffers", block.buffer_values()},
                                std::pair{"m", optimizer->first_moment()}, std::pair{"v", optimizer->second_moment()}})
      bytes.tensor(name, tensor);
    for (const Parameter& p : block.parameters()) {
      Tensor gradient = block.gradient_of(p);
      bytes.tensor("d " + p.name, gradient);
    }
    return bytes.values;
  }

  TrainOptions options;
  Communicator& ranks;
  std::vector<std::int64_t> places;  // of the training images
  std::unique_ptr<Device> device;
  std::unique_ptr<Communicator> joined;
  PackedSet data;
  ParameterBlock block;
  std::unique_ptr<R> owned;
  R& recipe;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<StepScalars> scalars;
  std::unique_ptr<TrainStep> step;
};

/// Per tensor ‖got − wanted‖ ≤ tolerance · ‖wanted‖.
inline void expect_close(const std::map<std::string, std::vector<float>>& got,
                         const std::map<std::string, std::vector<float>>& wanted, double tolerance) {
  ASSERT_EQ(got.size(), wanted.size());
  for (const auto& [name, values] : wanted) {
    const std::vector<float>& others = got.at(name);
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      difference += std::pow(static_cast<double>(others[i]) - static_cast<double>(values[i]), 2);
      norm += std::pow(static_cast<double>(values[i]), 2);
    }
    EXPECT_LE(std::sqrt(difference), tolerance * std::sqrt(norm) + 1e-12) << name;
  }
}

/// What a simulator counted in a later step: no memory taken or given, no waiting, no copy to the host.
inline void expect_no_waits(const nlohmann::json& counts) {
  for (const char* none : {"allocations", "allocations_async", "frees", "memcpy_d2h", "sync_stream", "sync_device",
                           "sync_event", "sync_blocking_memcpy", "sync_free"})
    EXPECT_EQ(counts.at(none), 0) << none;
}

/// The same, with so many copies from the host.
inline void expect_no_waits(const nlohmann::json& counts, std::int64_t copies_from_host) {
  expect_no_waits(counts);
  EXPECT_EQ(counts.at("memcpy_h2d"), copies_from_host);
}

}  // namespace swath::testing
