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
#include "tests/recipes/graph_case.h"
#include "tests/recipes/recipe_case.h"
#include "tests/simulator_counts.h"

namespace swath {
namespace {

namespace fs = std::filesystem;
using testing::simulator_counts;

using testing::graph_cases;
using testing::GraphCase;

/// A model in training on a device.
template <class R = Recipe>
struct Training : testing::RecipeBench<R> {
  explicit Training(const TrainOptions& with) : testing::RecipeBench<R>(with, "cuda") { this->recipe.begin_epoch(0); }

  /// Step `number` on `rows` images from `first` on, at learning rates of its own.
  void run(std::uint64_t number, std::int64_t first, std::int64_t rows, std::int64_t tag = 0) {
    this->scalars->set_step(number);
    for (int group = 0; group < kParameterGroups; ++group)
      this->scalars->set_learning_rate(static_cast<ParameterGroup>(group), 1e-4f * static_cast<float>(1 + 2 * group + number));
    Batch batch = this->images(first, rows);
    batch.tag = tag;
    this->step->run(batch);
  }
};

class CudaGraph : public testing::SceneTest {
 protected:
  static void SetUpTestSuite() { make_scenes("cuda-graph", 48); }
  static void TearDownTestSuite() { remove_scenes(); }
  void SetUp() override { SWATH_NEEDS_CUDA_DEVICE(); }

  static TrainOptions options(const GraphCase& of, const char* graph) {
    TrainOptions made = testing::graph_options(of, small_options());
    made.graph = graph;
    return made;
  }
};

class CudaGraphOf : public CudaGraph, public ::testing::WithParamInterface<GraphCase> {};

// Two shapes take turns: each runs once eagerly, is recorded at its second step and replayed from then on.
constexpr std::int64_t kRows[] = {8, 8, 6, 8, 6, 8, 6};

void expect_same_state(Training<>& got, Training<>& wanted) {
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
void expect_launches_only(const nlohmann::json& counts, const nlohmann::json& later, std::int64_t steps, const GraphSize& size,
                          bool with_places) {
  const auto run = [&](const char* what) { return counts.at(what).get<std::int64_t>() + later.at(what).get<std::int64_t>(); };
  EXPECT_EQ(counts.at("graph_launches"), steps);
  EXPECT_EQ(counts.at("graph_nodes"), steps * (size.kernels + size.copies + size.fills));
  testing::expect_no_waits(counts);
  // Pixels, labels, the step's scalars and, where the recipe asks, the rows' places; the pixels then move to the graph's
  // address.
  EXPECT_EQ(run("memcpy_h2d"), (with_places ? 4 : 3) * steps);
  // cuDNN's and cuBLASLt's kernels are counted apart.
  EXPECT_EQ(run("kernel_launches") + run("library_calls"), steps * size.kernels) << "a kernel outside the graph";
}

TEST_P(CudaGraphOf, HasTheBitsOfEagerStepsAndIsOneLaunch) {
  Training<> eager(options(GetParam(), "off")), replayed(options(GetParam(), "auto"));
  for (std::size_t i = 0; i < std::size(kRows); ++i) {
    for (Training<>* training : {&eager, &replayed}) training->run(i, static_cast<std::int64_t>(2 * i), kRows[i]);
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
  expect_launches_only(counts, later, 2, size, replayed.recipe.needs_index());
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

/// Finds no memory while its step is recorded, the second time that it is asked for one.
class Hungry : public Baseline {
 public:
  explicit Hungry(const RecipeContext& context)
      : Baseline(context), device_(context.device), recorded_(context.options.graph == "auto") {}
  Objective objective(Tape& tape, const DeviceBatch& batch) override {
    Objective made = Baseline::objective(tape, batch);
    if (recorded_ && ++calls_ == 2) Tensor::empty(device_, {std::int64_t{1} << 45});
    return made;
  }

 private:
  Device& device_;
  bool recorded_;
  int calls_ = 0;
};

/// Says that its work changes.
class Changing : public Baseline {
 public:
  using Baseline::Baseline;
  std::uint64_t phase() const override { return now; }
  std::uint64_t now = 0;
};

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

template <class R>
void expect_eager_after_one_warning(const TrainOptions& options, const std::string& reason) {
  const Warnings warnings;
  TrainOptions off = options;
  off.graph = "off";
  Training<R> training(options), eager(off);
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
  expect_eager_after_one_warning<Waiting>(options(graph_cases()[1], "auto"), "waiting for the device");
}

TEST_F(CudaGraph, AStepThatKeepsATensorRunsEagerlyAfterOneWarning) {
  expect_eager_after_one_warning<Keeping>(options(graph_cases()[1], "auto"), "outlives");
}

TEST_F(CudaGraph, AStepThatFindsNoMemoryWhileItIsRecordedRunsEagerlyAfterOneWarning) {
  expect_eager_after_one_warning<Hungry>(options(graph_cases()[1], "auto"), "out of memory: ");
}

TEST_F(CudaGraph, ANewPhaseIsRecordedAnew) {
  Training<Changing> training(options(graph_cases()[1], "auto"));
  training.run(0, 0, 8);
  training.run(1, 0, 8);
  EXPECT_NE(training.step->graph({8, 0}), nullptr);
  training.recipe.now = 1;
  training.run(2, 0, 8);
  EXPECT_EQ(training.step->graph({8, 0}), nullptr);
  training.run(3, 0, 8);
  EXPECT_NE(training.step->graph({8, 0}), nullptr);
}

/// Steps of both clusters, three each: eager, recorded, replayed.
void run_clusters(Training<>& training, std::uint64_t first_step, std::int64_t clusters) {
  for (std::uint64_t i = 0; i < 3; ++i) {
    for (std::int64_t tag = 0; tag < clusters; ++tag)
      training.run(first_step + 2 * i + static_cast<std::uint64_t>(tag), static_cast<std::int64_t>(i), 8, tag);
  }
}

TEST_F(CudaGraph, DacHasAGraphForEachClusterAndNewOnesAfterClusteringAndInEveryStage) {
  TrainOptions replay = options({"dac", testing::dac()}, "auto"), plain = options({"dac", testing::dac()}, "off");
  for (TrainOptions* made : {&replay, &plain}) {
    made->dac.every = 1;
    made->dac.finetune_epoch = 5;  // epochs 0 and 1 train sub-embeddings, from 3 on the whole, from 5 on one cluster
  }
  Training<> replayed(replay), eager(plain);
  std::uint64_t step = 0;
  for (const std::int64_t epoch : {0, 1, 3, 5}) {
    SCOPED_TRACE(epoch);
    const std::int64_t clusters = epoch < 5 ? 2 : 1;
    for (Training<>* training : {&replayed, &eager}) {
      if (epoch > 0) training->recipe.begin_epoch(epoch);
      run_clusters(*training, step, clusters);
    }
    for (std::int64_t tag = 0; tag < 2; ++tag) {
      EXPECT_EQ(replayed.step->graph({8, tag}) != nullptr, tag < clusters) << tag;
      EXPECT_EQ(eager.step->graph({8, tag}), nullptr);
    }
    expect_same_state(replayed, eager);
    step += 6;
  }
}

INSTANTIATE_TEST_SUITE_P(Recipes, CudaGraphOf, ::testing::ValuesIn(graph_cases()),
                         [](const auto& of) { return std::string(of.param.name); });

}  // namespace
}  // namespace swath
