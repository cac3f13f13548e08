// DiVA: what its objective adds up, which keys go into the queue, its embedding, and what a checkpoint holds of it
// (methods.md §6 "Fast MoCo", §7).
#include "recipes/diva.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "engine/autograd/row_ops.h"
#include "recipes/pair_rows.h"
#include "recipes/trainer.h"
#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

namespace fs = std::filesystem;

struct Keeper : StateVisitor {
  void tensor(const std::string& name, Tensor& value) override { tensors.emplace(name, value); }
  void scalar(const std::string& name, std::int64_t& value) override { scalars[name] = value; }
  void scalar(const std::string&, std::uint64_t&) override { FAIL(); }
  void scalar(const std::string&, double&) override { FAIL(); }
  void scalar(const std::string&, std::string&) override { FAIL(); }
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::int64_t> scalars;
};

class DivaTest : public testing::SceneTest {
 protected:
  static void SetUpTestSuite() { make_scenes("diva", 120); }
  static void TearDownTestSuite() { remove_scenes(); }

  static TrainOptions options(const std::string& name) {
    TrainOptions made = small_options();
    made.recipe = "diva";
    made.epochs = 2;
    made.model.dropout = 0;
    made.optimizer.backbone.lr = made.optimizer.head.lr = 1e-3f;
    made.moco.n_key_batches = 3;
    made.validation.untrained = false;
    made.validation.retrieval.ks = {1};
    made.run.directory = (folder_ / "runs").string();
    made.run.name = name;
    made.run.log_every = 1;
    return made;
  }
};

struct Workbench : testing::RecipeBench<Diva> {
  Workbench(const TrainOptions& with, float rate) : RecipeBench(with) { set_learning_rate(rate); }
  std::map<std::string, Tensor> state() {
    Keeper keeper;
    recipe.visit_state(keeper);
    return keeper.tensors;
  }
  std::uint64_t pushed() { return state().at("moco.pushed").to_host<std::uint64_t>()[0]; }
  /// One step on the first `n` images; loss, then the statistics.
  std::vector<float> run(std::int64_t n) { return RecipeBench::run(first_images(n)); }
};

TEST_F(DivaTest, TheObjectiveIsTheWeightedSumOfItsParts) {
  TrainOptions wanted = options("sum");
  wanted.diva.discriminative = 0.7f;
  wanted.diva.selfsimilarity = 0.2f;
  wanted.diva.shared = 0.4f;
  wanted.diva.intra = 0.9f;
  wanted.diva.decorrelation = 20;
  Workbench bench(wanted, 0);
  bench.recipe.begin_epoch(0);
  const std::vector<float> values = bench.run(8);
  ASSERT_EQ(bench.step->names(),
            (std::vector<std::string>{"loss", "discriminative", "selfsimilarity", "shared", "intra", "decorrelation"}));
  const double sum = 0.7 * values[1] + 0.2 * values[2] + 0.4 * values[3] + 0.9 * values[4] + values[5];
  EXPECT_NEAR(values[0], sum, 1e-5 * std::abs(sum));
  for (int part = 1; part < 5; ++part) EXPECT_GT(values[part], 0) << part;
  EXPECT_LT(values[5], 0);
  for (const char* name : {"discriminative", "shared", "intra"})
    EXPECT_TRUE(bench.block.find(fmt::format("margin.{}.beta", name)));
  EXPECT_EQ(bench.block.find("decorrelation.1_0.w1")->shape, (Shape{512, 8}));
}

TEST_F(DivaTest, TheQueueIsFilledBeforeTheFirstStepAndOnlyThen) {
  Workbench bench(options("filled"), 0);
  EXPECT_EQ(bench.pushed(), 0u);
  bench.recipe.begin_epoch(0);
  const std::uint64_t filled = bench.pushed();
  // Batches of 8 images; every class present gives two rows.
  EXPECT_GE(filled, 3u * 2 * 4);
  EXPECT_LE(filled, 3u * 2 * static_cast<std::uint64_t>(bench.data.train.labels().classes()));
  const std::vector<float> queue = bench.state().at("moco.queue").to_host<float>();
  for (std::uint64_t row = 0; row < filled; ++row) {
    double squares = 0;
    for (std::uint64_t k = 0; k < 8; ++k) squares += std::pow(static_cast<double>(queue[row * 8 + k]), 2);
    EXPECT_NEAR(squares, 1, 1e-5) << row;
  }
  bench.recipe.begin_epoch(1);
  EXPECT_EQ(bench.pushed(), filled);
  bench.run(8);
  EXPECT_GT(bench.pushed(), filled);
}

/// Shuffling must leave no trace but the rounding of sums: keys of the rotated view, row by row.
TEST_F(DivaTest, TheKeysOfAStepAreThoseOfItsRowsInOrder) {
  Workbench bench(options("order"), 0);
  bench.recipe.begin_epoch(0);
  const std::uint64_t before = bench.pushed();
  bench.run(16);
  const auto state = bench.state();
  const std::uint64_t after = state.at("moco.pushed").to_host<std::uint64_t>()[0];
  const std::vector<float> queue = state.at("moco.queue").to_host<float>();
  const std::uint64_t capacity = queue.size() / 8;

  const ModelOptions& model = bench.options.model;
  MomentumCopy key(*bench.device, model, 3, {{"discriminative", 8}, {"selfsimilarity", 8}, {"shared", 8}, {"intra", 8}}, 0.9f);
  key.start(bench.block);
  const PackedSplit& train = bench.data.train;
  const RandomKey random{bench.options.seed, bench.scalars->step_pointer()};
  DeviceBatch batch;
  batch.labels = Tensor::from_host(*bench.device, {16, train.labels().words()}, train.labels().data());
  batch.random = random;
  const PairRows pairs = draw_pair_rows(batch, train.labels().classes(), 2);
  const auto used = static_cast<std::uint64_t>(pairs.count.to_host<std::int32_t>()[0]);
  ASSERT_EQ(after - before, used);
  const BatchViews views(*bench.device, train.image(), train.pixels(), 16, {.crop = 32});
  Tape tape(*bench.device, Phase::train);
  const auto keys_of = [&](const ViewOptions& view) {
    return gather_rows(tape, Var(key.forward(tape, views.make(view, random), random)[1]), pairs.image).value().to_host<float>();
  };
  const std::vector<float> rotated = keys_of({.rotation = AugmentRotation::random_quarter, .number = 1}), plain = keys_of({});
  double worst = 0, other = 0;
  for (std::uint64_t r = 0; r < used; ++r) {
    for (std::uint64_t k = 0; k < 8; ++k) {
      const double got = queue[(before + r) % capacity * 8 + k];
      worst = std::max(worst, std::abs(got - static_cast<double>(rotated[r * 8 + k])));
      other = std::max(other, std::abs(got - static_cast<double>(plain[r * 8 + k])));
    }
  }
  EXPECT_LT(worst, 1e-3);
  EXPECT_GT(other, 1e-2) << "the rotated view is the first view";
}

TEST_F(DivaTest, TheKeyNetworkFollowsTheQueryNetwork) {
  Workbench bench(options("follows"), 1e-3f);
  bench.recipe.begin_epoch(0);
  const std::string name = "backbone.layer2.0.conv1.weight";
  const std::vector<float> start = bench.state().at("key." + name).to_host<float>();
  EXPECT_EQ(start, bench.block.find(name)->value.to_host<float>());
  bench.run(8);
  const std::vector<float> query = bench.block.find(name)->value.to_host<float>(),
                           key = bench.state().at("key." + name).to_host<float>();
  EXPECT_NE(query, start);
  for (std::size_t i = 0; i < key.size(); ++i) ASSERT_NEAR(key[i], 0.9f * start[i] + 0.1f * query[i], 1e-7) << i;
}

TEST_F(DivaTest, TheEvaluatedEmbeddingWeighsTheFeatures) {
  TrainOptions wanted = options("weights");
  wanted.diva.evaluation_weights = {0.5, 1, 0, 2};
  Workbench bench(wanted, 0);
  std::vector<float> pixels(2 * 32 * 32 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = std::sin(0.11f * static_cast<float>(i));
  const Tensor images = Tensor::from_host(*bench.device, {2, 32, 32, 3}, pixels);
  Tape tape(*bench.device, Phase::eval);
  const std::vector<float> rows = bench.recipe.embed(tape, images).to_host<float>();
  ASSERT_EQ(rows.size(), 2u * 32);
  const double length = std::sqrt(0.25 + 1 + 4);
  for (std::size_t row = 0; row < 2; ++row) {
    for (std::size_t part = 0; part < 4; ++part) {
      double squares = 0;
      for (std::size_t k = 0; k < 8; ++k) squares += std::pow(static_cast<double>(rows[row * 32 + part * 8 + k]), 2);
      EXPECT_NEAR(std::sqrt(squares), wanted.diva.evaluation_weights[part] / length, 1e-6) << part;
    }
  }
}

/// Everything that a run has when it ends.
struct Ending {
  std::map<std::string, std::vector<float>> values;
  std::uint64_t pushed = 0, steps = 0;
  bool operator==(const Ending&) const = default;
};

Ending train(const TrainOptions& options, const TrainHooks& hooks = {}) {
  const fs::path folder = fs::path(options.run.directory) / options.run.name;
  RunDir run = RunDir::exists(folder) ? RunDir::open(folder) : RunDir::create(options);
  const auto device = Device::open("cpu");
  const PackedSet data = open_or_pack(options.data, options.pack);
  Trainer trainer(*device, options, data, run);
  Ending ending;
  ending.steps = trainer.run(hooks).steps;
  ending.values["values"] = trainer.block().values().to_host<float>();
  ending.values["buffers"] = trainer.block().buffer_values().to_host<float>();
  Keeper keeper;
  trainer.recipe().visit_state(keeper);
  EXPECT_EQ(keeper.scalars.at("diva.started"), 1);
  for (const auto& [name, value] : keeper.tensors) {
    if (value.dtype() == DType::f32)
      ending.values[name] = value.to_host<float>();
    else
      ending.pushed = value.to_host<std::uint64_t>()[0];
  }
  return ending;
}

TEST_F(DivaTest, AContinuedRunHasTheQueueAndTheKeyNetworkOfAnUnbrokenOne) {
  const Ending whole = train(options("whole"));
  ASSERT_GT(whole.steps, 4u);
  TrainOptions first = options("halves");
  first.epochs = 1;
  EXPECT_FALSE(train(first) == whole);
  EXPECT_TRUE(train(options("halves")) == whole);

  std::atomic<bool> stop{false};
  TrainHooks hooks;
  hooks.stop = &stop;
  hooks.progress = [&](const TrainProgress& progress) { stop = progress.step >= 2; };
  EXPECT_THROW(train(options("cut"), hooks), Preempted);
  EXPECT_TRUE(train(options("cut")) == whole);
}

TEST_F(DivaTest, OptionsThatCannotWorkAreRefusedByName) {
  const auto refused = [](const TrainOptions& wanted, const std::string& key) {
    const auto device = Device::open("cpu");
    const PackedSet data = open_or_pack(wanted.data, wanted.pack);
    ParameterBlock block;
    try {
      const auto recipe = make_recipe({*device, block, wanted, data.train});
      FAIL() << key;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
    }
  };
  TrainOptions wanted = options("odd");
  wanted.model.embedding = 30;
  refused(wanted, "model.embedding");
  wanted = options("headless");
  wanted.model.penultimate = true;
  refused(wanted, "model.penultimate");
  wanted = options("weights");
  wanted.diva.evaluation_weights = {1, 1};
  refused(wanted, "diva.evaluation_weights");
}

}  // namespace
}  // namespace swath
