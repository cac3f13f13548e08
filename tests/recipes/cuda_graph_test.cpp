// Captured steps of every recipe on a CUDA device, real or simulated: the bits of eager ones over batches, shapes and learning
// rates that change; and what a replayed step costs, compared with bench/step_counts.json.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <numeric>
#include <sstream>

#include <spdlog/sinks/ostream_sink.h>
#include <nlohmann/json.hpp>

#include "engine/core/log.h"
#include "recipes/baseline.h"
#include "recipes/step.h"
#include "tests/cuda_device.h"
#include "tests/recipes/recipe_case.h"
#include "tests/simulator_counts.h"

namespace swath {
namespace {

namespace fs = std::filesystem;
using testing::simulator_counts;

struct Case {
  const char* name;
  std::function<void(TrainOptions&)> set;
};

/// The trunk's part of the step is the same for every miner.
std::function<void(TrainOptions&)> miner(const char* name) {
  return [name](TrainOptions& options) {
    options.miner.name = name;
    options.model.frozen = true;
  };
}

std::function<void(TrainOptions&)> recipe(const char* name) {
  return [name](TrainOptions& options) { options.recipe = name; };
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"baseline", [](TrainOptions&) {}},
      {"baseline_semihard", miner("semihard")},
      {"baseline_distance", miner("distance")},
      {"baseline_random_distance", miner("random_distance")},
      {"baseline_intra_random", miner("intra_random")},
      {"baseline_multilabel_semihard", miner("multilabel_semihard")},
      {"baseline_bf16", [](TrainOptions& options) { options.precision = "bf16"; }},
      {"bier", recipe("bier")},
      {"diva", recipe("diva")},
  };
  return all;
}

/// Every tensor of a recipe's state as bytes.
struct Bytes : StateVisitor {
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

/// A model in training on a device.
struct Training {
  Training(const std::string& device_name, TrainOptions with, std::unique_ptr<Recipe> (*make)(const RecipeContext&))
      : options(std::move(with)),
        device(Device::open(device_name)),
        data(open_or_pack(options.data, options.pack)),
        recipe(make({*device, block, options, data.train})) {
    block.allocate(*device);
    optimizer = std::make_unique<Optimizer>(block, options.optimizer);
    scalars = std::make_unique<StepScalars>(*device);
    step = std::make_unique<TrainStep>(*device, *recipe, block, *optimizer, *scalars, options, data.train);
    recipe->begin_epoch(0);
  }

  /// Step `number` on `rows` images from `first` on.
  void run(std::uint64_t number, std::int64_t first, std::int64_t rows) {
    scalars->set_step(number);
    for (int group = 0; group < kParameterGroups; ++group)
      scalars->set_learning_rate(static_cast<ParameterGroup>(group), 1e-4f * static_cast<float>(1 + 2 * group + number));
    Batch batch;
    std::vector<std::int64_t> indices(static_cast<std::size_t>(rows));
    std::iota(indices.begin(), indices.end(), first);
    SWATH_CHECK(first + rows <= data.train.rows());
    batch.pixels = data.train.row(first);
    batch.labels = data.train.labels().data() + first * data.train.labels().words();
    batch.rows = indices.data();
    batch.n = rows;
    step->run(batch);
  }

  std::map<std::string, std::vector<std::byte>> state() {
    Bytes bytes;
    recipe->visit_state(bytes);
    for (auto [name, tensor] :
         {std::pair{"values", block.values()}, std::pair{"grads", block.grads()}, std::pair{"buffers", block.buffer_values()},
          std::pair{"m", optimizer->first_moment()}, std::pair{"v", optimizer->second_moment()}})
      bytes.tensor(name, tensor);
    return bytes.values;
  }

  TrainOptions options;
  std::unique_ptr<Device> device;
  PackedSet data;
  ParameterBlock block;
  std::unique_ptr<Recipe> recipe;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<StepScalars> scalars;
  std::unique_ptr<TrainStep> step;
};

class CudaGraph : public testing::SceneTest {
 protected:
  static void SetUpTestSuite() { make_scenes("cuda-graph", 48); }
  static void TearDownTestSuite() { remove_scenes(); }
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  static TrainOptions options(const Case& of, const char* graph) {
    TrainOptions made = small_options();
    made.moco.n_key_batches = 2;
    made.bier.regressor_hidden = made.diva.regressor_hidden = 32;
    of.set(made);
    made.graph = graph;
    return made;
  }
};

class CudaGraphOf : public CudaGraph, public ::testing::WithParamInterface<Case> {};

// Two shapes take turns: each runs once eagerly, is recorded at its second step and replayed from then on.
constexpr std::int64_t kRows[] = {8, 8, 6, 8, 6, 8, 6};

void expect_same_state(Training& got, Training& wanted) {
  const auto got_steps = got.step->drain(), wanted_steps = wanted.step->drain();
  ASSERT_EQ(got_steps.size(), wanted_steps.size());
  for (std::size_t i = 0; i < got_steps.size(); ++i) EXPECT_EQ(got_steps[i].values, wanted_steps[i].values) << "step " << i;
  const auto state = got.state();
  for (const auto& [name, bytes] : wanted.state()) EXPECT_TRUE(bytes == state.at(name)) << name;
}

/// The nodes of a graph against those kept in bench/step_counts.json.
void expect_kept_size(const std::string& name, const GraphSize& size) {
  const nlohmann::json now{{"kernels", size.kernels}, {"copies", size.copies}, {"fills", size.fills}};
  std::ifstream file(SWATH_STEP_COUNTS);
  EXPECT_EQ(nlohmann::json::parse(file).value(name, nlohmann::json()), now)
      << "the graph of " << name << " has changed; where that is meant, write it to bench/step_counts.json";
}

/// What a simulator counted over `steps` replayed steps, and, where it runs work late, when it had run them.
void expect_launches_only(const nlohmann::json& counts, const nlohmann::json& later, std::int64_t steps,
                          const GraphSize& size) {
  const auto run = [&](const char* what) { return counts.at(what).get<std::int64_t>() + later.at(what).get<std::int64_t>(); };
  EXPECT_EQ(counts.at("graph_launches"), steps);
  EXPECT_EQ(counts.at("graph_nodes"), steps * (size.kernels + size.copies + size.fills));
  for (const char* none : {"allocations", "allocations_async", "frees", "memcpy_d2h", "sync_stream", "sync_device",
                           "sync_event", "sync_blocking_memcpy", "sync_free"})
    EXPECT_EQ(counts.at(none), 0) << none;
  // Pixels, labels and the step's scalars; the pixels then move to the graph's address.
  EXPECT_EQ(run("memcpy_h2d"), 3 * steps);
  // cuDNN's and cuBLASLt's kernels are counted apart.
  EXPECT_EQ(run("kernel_launches") + run("library_calls"), steps * size.kernels) << "a kernel outside the graph";
}

TEST_P(CudaGraphOf, HasTheBitsOfEagerStepsAndIsOneLaunch) {
  Training eager("cuda", options(GetParam(), "off"), make_recipe), replayed("cuda", options(GetParam(), "auto"), make_recipe);
  for (std::size_t i = 0; i < std::size(kRows); ++i) {
    for (Training* training : {&eager, &replayed}) training->run(i, static_cast<std::int64_t>(2 * i), kRows[i]);
  }
  EXPECT_EQ(eager.step->graph({8, 0}), nullptr);
  ASSERT_NE(replayed.step->graph({8, 0}), nullptr);
  ASSERT_NE(replayed.step->graph({6, 0}), nullptr);
  expect_same_state(replayed, eager);

  const std::size_t reserved = replayed.device->pool()->reserved();
  simulator_counts();
  for (const std::uint64_t i : {0, 1}) replayed.run(i, static_cast<std::int64_t>(i), 8);
  const nlohmann::json counts = simulator_counts();
  replayed.device->synchronize();
  const nlohmann::json later = simulator_counts();
  EXPECT_EQ(replayed.device->pool()->reserved(), reserved);
  // The kernels of a GPU's cuDNN and cuBLASLt are not the simulator's.
  if (counts.is_null()) return;
  const GraphSize size = replayed.step->graph({8, 0})->size();
  expect_kept_size(GetParam().name, size);
  expect_launches_only(counts, later, 2, size);
}

/// Waits for the device in every step, which no graph can.
class Waiting : public Baseline {
 public:
  explicit Waiting(const RecipeContext& context) : Baseline(context), device_(context.device) {}
  void after_step() override { device_.synchronize(); }

 private:
  Device& device_;
};

/// Keeps a tensor of its step.
class Keeping : public Baseline {
 public:
  using Baseline::Baseline;
  Objective objective(Tape& tape, const DeviceBatch& batch) override {
    Objective made = Baseline::objective(tape, batch);
    kept_ = made.loss.value();
    return made;
  }

 private:
  Tensor kept_;
};

/// Says that its work changes.
class Changing : public Baseline {
 public:
  using Baseline::Baseline;
  std::uint64_t phase() const override { return now; }
  std::uint64_t now = 0;
};

template <class R>
std::unique_ptr<Recipe> make(const RecipeContext& context) {
  return std::make_unique<R>(context);
}

/// Warnings that the library logs while this lives.
class Warnings {
 public:
  Warnings() {
    sink_->set_level(spdlog::level::warn);
    log::logger().sinks().push_back(sink_);
  }
  ~Warnings() { log::logger().sinks().pop_back(); }
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::sinks::ostream_sink_mt> sink_ = std::make_shared<spdlog::sinks::ostream_sink_mt>(text_);
};

void expect_eager_after_one_warning(const TrainOptions& options, std::unique_ptr<Recipe> (*make_one)(const RecipeContext&),
                                    const std::string& reason) {
  const Warnings warnings;
  TrainOptions off = options;
  off.graph = "off";
  Training training("cuda", options, make_one), eager("cuda", off, make_one);
  for (std::uint64_t i = 0; i < 4; ++i) training.run(i, 0, 8), eager.run(i, 0, 8);
  EXPECT_EQ(training.step->graph({8, 0}), nullptr);
  const std::string text = warnings.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  EXPECT_NE(text.find("cannot be recorded as a graph"), std::string::npos) << text;
  EXPECT_NE(text.find(reason), std::string::npos) << text;
  EXPECT_EQ(training.step->drain().back().values, eager.step->drain().back().values);
  EXPECT_EQ(training.state(), eager.state());
}

TEST_F(CudaGraph, AStepThatWaitsRunsEagerlyAfterOneWarning) {
  expect_eager_after_one_warning(options(cases()[1], "auto"), make<Waiting>, "waiting for the device");
}

TEST_F(CudaGraph, AStepThatKeepsATensorRunsEagerlyAfterOneWarning) {
  expect_eager_after_one_warning(options(cases()[1], "auto"), make<Keeping>, "outlives");
}

TEST_F(CudaGraph, ANewPhaseIsRecordedAnew) {
  Training training("cuda", options(cases()[1], "auto"), make<Changing>);
  training.run(0, 0, 8);
  training.run(1, 0, 8);
  EXPECT_NE(training.step->graph({8, 0}), nullptr);
  static_cast<Changing&>(*training.recipe).now = 1;
  training.run(2, 0, 8);
  EXPECT_EQ(training.step->graph({8, 0}), nullptr);
  training.run(3, 0, 8);
  EXPECT_NE(training.step->graph({8, 0}), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Recipes, CudaGraphOf, ::testing::ValuesIn(cases()),
                         [](const auto& of) { return std::string(of.param.name); });

}  // namespace
}  // namespace swath
