// Training end to end on generated scenes: the loss falls, retrieval improves, an interrupted run ends with the same bits,
// and every wrong input is one sentence with nothing lost.
#include "recipes/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>

#include "recipes/embed.h"
#include "retrieval/overlap.h"
#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

namespace fs = std::filesystem;

class TrainerTest : public testing::SceneTest {
 protected:
  static void SetUpTestSuite() { make_scenes("trainer", 120); }
  static void TearDownTestSuite() { remove_scenes(); }

  static TrainOptions options(const std::string& name) {
    TrainOptions made = small_options();
    made.epochs = 4;
    made.optimizer.backbone.lr = made.optimizer.head.lr = 1e-3f;
    made.schedule.milestones = {1, 3};
    made.validation.every = 2;
    made.validation.retrieval.ks = {1, 2};
    made.run.directory = (folder_ / "runs").string();
    made.run.name = name;
    made.run.log_every = 3;
    return made;
  }

  static TrainResult train(const TrainOptions& options, RunDir& run, const TrainHooks& hooks = {}) {
    const auto device = Device::open("cpu");
    const PackedSet data = open_or_pack(options.data, options.pack);
    Trainer trainer(*device, options, data, run);
    const TrainResult result = trainer.run(hooks);
    weights_ = trainer.block().values().to_host<float>();
    const std::vector<float> buffers = trainer.block().buffer_values().to_host<float>();
    weights_.insert(weights_.end(), buffers.begin(), buffers.end());
    return result;
  }

  static std::string text_of(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  /// The lines of metrics.jsonl without their times.
  static std::vector<Json> records_of(const fs::path& run) {
    std::vector<Json> records;
    std::ifstream in(run / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      records.push_back(Json::parse(line));
      EXPECT_GT(records.back().at("time").get<double>(), 1.7e9) << line;
      records.back().erase("time");
    }
    return records;
  }
  static inline std::vector<float> weights_;
};

TEST_F(TrainerTest, FourEpochsEqualTwoStopAndTwoMore) {
  {
    RunDir whole = RunDir::create(options("whole"));
    train(options("whole"), whole);
  }
  const std::vector<float> expected = weights_;
  TrainOptions first = options("halves");
  first.epochs = 2;
  {
    RunDir run = RunDir::create(first);
    train(first, run);
  }
  EXPECT_NE(weights_, expected);
  {
    RunDir run = RunDir::open(folder_ / "runs" / "halves");
    train(options("halves"), run);
  }
  EXPECT_EQ(weights_, expected);
  EXPECT_EQ(text_of(folder_ / "runs" / "whole" / "train.csv"), text_of(folder_ / "runs" / "halves" / "train.csv"));
  EXPECT_EQ(text_of(folder_ / "runs" / "whole" / "val.csv"), text_of(folder_ / "runs" / "halves" / "val.csv"));
}

TEST_F(TrainerTest, AStopInTheMiddleOfAnEpochResumesBitEqual) {
  TrainOptions wanted = options("unbroken");
  wanted.epochs = 2;
  {
    RunDir run = RunDir::create(wanted);
    train(wanted, run);
  }
  const std::vector<float> expected = weights_;
  wanted.run.name = "broken";
  std::atomic<bool> stop{false};
  TrainHooks hooks;
  hooks.stop = &stop;
  hooks.progress = [&](const TrainProgress& progress) { stop = progress.step >= 3; };
  {
    RunDir run = RunDir::create(wanted);
    EXPECT_THROW(train(wanted, run, hooks), Preempted);
  }
  {
    RunDir run = RunDir::open(folder_ / "runs" / "broken");
    train(wanted, run);
  }
  EXPECT_EQ(weights_, expected);
  EXPECT_EQ(records_of(folder_ / "runs" / "unbroken"), records_of(folder_ / "runs" / "broken"));
}

TEST_F(TrainerTest, AStopDuringValidationSavesAndTheResumedRunValidates) {
  TrainOptions wanted = options("unstopped");
  wanted.epochs = 2;
  {
    RunDir run = RunDir::create(wanted);
    train(wanted, run);
  }
  const std::vector<float> expected = weights_;
  wanted.run.name = "stopped";
  std::atomic<bool> stop{true};
  TrainHooks hooks;
  hooks.stop = &stop;
  {
    RunDir run = RunDir::create(wanted);
    EXPECT_THROW(train(wanted, run, hooks), Preempted);  // in the validation of the untrained network
  }
  stop = false;
  hooks.progress = [&](const TrainProgress& progress) { stop = progress.batch == progress.batches && progress.epoch == 1; };
  {
    RunDir run = RunDir::open(folder_ / "runs" / "stopped");
    EXPECT_THROW(train(wanted, run, hooks), Preempted);  // in the last one
  }
  {
    RunDir run = RunDir::open(folder_ / "runs" / "stopped");
    const TrainResult result = train(wanted, run);
    ASSERT_TRUE(result.untrained && result.best && result.last);
    EXPECT_EQ(result.untrained->epoch, 0);
    EXPECT_EQ(result.last->epoch, 2);
  }
  EXPECT_EQ(weights_, expected);
  EXPECT_EQ(records_of(folder_ / "runs" / "unstopped"), records_of(folder_ / "runs" / "stopped"));
  for (const char* file : {"train.csv", "val.csv"})
    EXPECT_EQ(text_of(folder_ / "runs" / "unstopped" / file), text_of(folder_ / "runs" / "stopped" / file)) << file;
  // A finished run that is continued reports what it measured and changes nothing.
  RunDir run = RunDir::open(folder_ / "runs" / "stopped");
  const TrainResult again = train(wanted, run);
  ASSERT_TRUE(again.untrained && again.best && again.last);
  EXPECT_FALSE(again.best_checkpoint.empty());
  EXPECT_FALSE(again.last_checkpoint.empty());
  EXPECT_EQ(again.last->table.ks, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(text_of(folder_ / "runs" / "unstopped" / "val.csv"), text_of(folder_ / "runs" / "stopped" / "val.csv"));
}

TEST_F(TrainerTest, ARunKilledBeforeItsFirstCheckpointStartsItsLogAgain) {
  TrainOptions wanted = options("killed");
  wanted.epochs = 1;
  {
    RunDir run = RunDir::create(wanted);
    run.log().write({"val", 0, 0, {{"recall@1", 0.5}}});
    run.log().write({"train", 1, 1, {{"loss", 0.5}}});
  }
  RunDir run = RunDir::open(folder_ / "runs" / "killed");
  train(wanted, run);
  std::int64_t untrained = 0, first = 0;
  for (const MetricRecord& record : run.log().read()) {
    untrained += record.group == "val" && record.step == 0;
    first += record.group == "train" && record.step == 1;
  }
  EXPECT_EQ(untrained, 1);
  EXPECT_EQ(first, 1);
}

TEST_F(TrainerTest, ValidationThatCannotWorkIsRefusedAtTheStart) {
  const auto refused = [](const TrainOptions& wanted, const std::string& key) {
    RunDir run = RunDir::create(wanted);
    const auto device = Device::open("cpu");
    const PackedSet data = open_or_pack(wanted.data, wanted.pack);
    try {
      const Trainer trainer(*device, wanted, data, run);
      FAIL() << key;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
    }
  };
  TrainOptions wanted = options("too-many");
  wanted.validation.retrieval.ks = {1, 100};
  refused(wanted, "validation.retrieval.ks");
  wanted = options("too-many-of-another");
  wanted.validation.part = "train";
  wanted.validation.also = {"val"};
  wanted.validation.retrieval.ks = {1, 20};
  refused(wanted, "val has");
  wanted = options("nothing-trained");
  wanted.model.frozen = wanted.model.penultimate = true;
  wanted.margin.beta_trainable = false;
  refused(wanted, "model.frozen");
}

TEST_F(TrainerTest, AnyMetricsAndTheOverlapOfSeveralSplitsAreLogged) {
  TrainOptions wanted = options("several");
  wanted.epochs = 2;
  wanted.validation.every = 1;
  wanted.validation.also = {"test", "val", "test"};
  wanted.validation.overlap = true;
  wanted.validation.retrieval.ks = {2};
  wanted.validation.retrieval.metrics = {"map"};
  RunDir run = RunDir::create(wanted);
  const auto device = Device::open("cpu");
  const PackedSet data = open_or_pack(wanted.data, wanted.pack);
  Trainer trainer(*device, wanted, data, run);
  std::vector<std::string> parts;
  TrainHooks hooks;
  hooks.validated = [&](const ValidationReport& made) { parts.push_back(made.part); };
  const TrainResult result = trainer.run(hooks);
  EXPECT_EQ(parts, (std::vector<std::string>{"val", "test", "val", "test", "val", "test"}));
  ASSERT_TRUE(result.best && result.last) << "Recall@1 chooses the best though it is not logged";
  EXPECT_EQ(result.last->part, "val");
  for (const char* part : {"val", "test"}) {
    const std::string text = text_of(run.path() / (std::string(part) + ".csv"));
    EXPECT_EQ(text.substr(0, text.find('\n')), "step,epoch,map@2,overlap") << part;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4) << part;
  }
  for (const PackedSplit* split : {&data.val, &data.test}) {
    const std::vector<float> rows = embed_split(*device, trainer.recipe(), *split,
                                                {.batch_size = 64, .crop = 32, .activation = DType::f32, .progress = {}});
    const double overlap =
        distance_overlap({rows.data(), split->rows(), 32}, {split->labels().data(), split->rows(), split->labels().classes()})
            .overlap;
    const std::string group = split == &data.val ? "val" : "test";
    double logged = -1;
    for (const MetricRecord& record : run.log().read())
      if (record.group == group) logged = record.values.back().second;
    EXPECT_NEAR(logged, overlap, 1e-12) << group;
  }
}

TEST_F(TrainerTest, WeightsThatAreNotFiniteAreNeverSaved) {
  TrainOptions wanted = options("poisoned");
  wanted.epochs = 1;
  wanted.validation.untrained = false;
  RunDir run = RunDir::create(wanted);
  const auto device = Device::open("cpu");
  const PackedSet data = open_or_pack(wanted.data, wanted.pack);
  Trainer trainer(*device, wanted, data, run);
  // A running mean has no part in a training step's loss.
  const float infinite = std::numeric_limits<float>::infinity();
  trainer.block().find_buffer("backbone.bn1.running_mean")->value.rows(0, 1).copy_from_host(&infinite);
  EXPECT_THROW(trainer.run(), NanError);
  EXPECT_TRUE(run.checkpoints().empty());
}

TEST_F(TrainerTest, FrozenBackboneKeepsItsWeightsWhileItsStatisticsFollowTheData) {
  TrainOptions wanted = options("frozen");
  wanted.epochs = 1;
  wanted.model.frozen = true;
  RunDir run = RunDir::create(wanted);
  const auto device = Device::open("cpu");
  const PackedSet data = open_or_pack(wanted.data, wanted.pack);
  Trainer trainer(*device, wanted, data, run);
  const auto value = [&](const char* name) { return trainer.block().find(name)->value.to_host<float>(); };
  const auto mean = [&] { return trainer.block().find_buffer("backbone.bn1.running_mean")->value.to_host<float>(); };
  const auto conv = value("backbone.conv1.weight"), deep = value("backbone.layer4.1.bn2.weight"),
             head = value("head.embedding.weight");
  const auto running = mean();
  trainer.run();
  EXPECT_EQ(value("backbone.conv1.weight"), conv);
  EXPECT_EQ(value("backbone.layer4.1.bn2.weight"), deep);
  EXPECT_NE(value("head.embedding.weight"), head);
  EXPECT_NE(mean(), running);
  EXPECT_EQ(trainer.parameter_count(), 512 * 32 + 32 + 1);
  EXPECT_EQ(trainer.frozen_parameter_count(), 11176512) << "torchvision's resnet18 without its last layer";
}

TEST_F(TrainerTest, PenultimateEmbedsWithThePooledFeature) {
  TrainOptions wanted = options("penultimate");
  wanted.epochs = 1;
  wanted.model.penultimate = true;
  RunDir run = RunDir::create(wanted);
  const auto device = Device::open("cpu");
  const PackedSet data = open_or_pack(wanted.data, wanted.pack);
  Trainer trainer(*device, wanted, data, run);
  EXPECT_EQ(trainer.block().find("head.embedding.weight"), nullptr);
  const auto before = trainer.block().find("backbone.conv1.weight")->value.to_host<float>();
  trainer.run();
  EXPECT_NE(trainer.block().find("backbone.conv1.weight")->value.to_host<float>(), before);
  const std::vector<float> rows =
      embed_split(*device, trainer.recipe(), data.val, {.batch_size = 5, .crop = 32, .activation = DType::f32, .progress = {}});
  ASSERT_EQ(static_cast<std::int64_t>(rows.size()), data.val.rows() * 512);
  for (std::size_t i = 0; i < rows.size(); i += 512) {
    double squares = 0;
    for (std::size_t k = 0; k < 512; ++k) squares += static_cast<double>(rows[i + k]) * static_cast<double>(rows[i + k]);
    EXPECT_NEAR(squares, 1, 1e-5);
  }
}

TEST_F(TrainerTest, MultilabelSemihardTrainsOnImagesAndCountsWhatItDrops) {
  TrainOptions wanted = options("multilabel");
  wanted.epochs = 2;
  wanted.run.log_every = 1;
  wanted.miner.name = "multilabel_semihard";
  const auto train_records = [](RunDir& run) {
    std::vector<std::map<std::string, double>> records;
    for (const MetricRecord& record : run.log().read()) {
      if (record.group == "train") records.emplace_back(record.values.begin(), record.values.end());
    }
    return records;
  };
  double active = 0;
  {
    RunDir run = RunDir::create(wanted);
    train(wanted, run);
    const auto records = train_records(run);
    ASSERT_GT(records.size(), 4u);
    for (const auto& record : records) {
      EXPECT_TRUE(std::isfinite(record.at("loss")));
      EXPECT_EQ(record.at("dropped_triplets"), 0);
      active += record.at("active_triplets");
    }
    EXPECT_GT(active, 10.0 * static_cast<double>(records.size()));
  }
  wanted.run.name = "narrow";
  wanted.miner.capacity = 3;
  RunDir run = RunDir::create(wanted);
  train(wanted, run);
  for (const auto& record : train_records(run)) {
    EXPECT_LE(record.at("active_triplets"), 3);
    EXPECT_GT(record.at("dropped_triplets"), 0);
  }
}

TEST_F(TrainerTest, AMinerOfImagesNeedsOneBetaForAllClasses) {
  TrainOptions wanted = options("one-beta");
  wanted.miner.name = "multilabel_semihard";
  wanted.margin.class_specific = true;
  RunDir run = RunDir::create(wanted);
  try {
    train(wanted, run);
    FAIL();
  } catch (const UserError& error) {
    const std::string sentence = error.what();
    for (const char* part : {"margin.class_specific", "miner.name multilabel_semihard", "margin.class_specific=false"})
      EXPECT_NE(sentence.find(part), std::string::npos) << sentence;
  }
}

TEST_F(TrainerTest, ANewRunNeverReusesAFolderAndTwoRunsNeverShareOne) {
  TrainOptions wanted = options("taken");
  wanted.epochs = 1;
  RunDir run = RunDir::create(wanted);
  train(wanted, run);
  EXPECT_THROW(RunDir::create(wanted), UserError);
  EXPECT_THROW(RunDir::open(run.path()), UserError);
}

TEST_F(TrainerTest, BatchLargerThanTheSplitNamesTheKeys) {
  TrainOptions wanted = options("large");
  wanted.sampler.images_per_class = 100;
  wanted.sampler.classes_per_batch = 0;
  RunDir run = RunDir::create(wanted);
  try {
    train(wanted, run);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("sampler.images_per_class"), std::string::npos) << error.what();
  }
}

TEST_F(TrainerTest, ALossThatIsNotFiniteStopsTheRunAndNamesTheStep) {
  TrainOptions wanted = options("diverged");
  wanted.validation.untrained = false;
  RunDir run = RunDir::create(wanted);
  const auto device = Device::open("cpu");
  const PackedSet data = open_or_pack(wanted.data, wanted.pack);
  Trainer trainer(*device, wanted, data, run);
  Parameter& beta = *trainer.block().find("margin.beta");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  beta.value.copy_from_host(&nan);
  try {
    trainer.run();
    FAIL();
  } catch (const NanError& error) {
    EXPECT_NE(std::string(error.what()).find("at step 0"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace swath
