// Every recipe resumes exactly: a run that was stopped after any step ends with the weights, buffers and logs of an unbroken
// one.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "recipes/trainer.h"
#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

namespace fs = std::filesystem;

class ResumeTest : public testing::SceneTest, public ::testing::WithParamInterface<std::string> {
 protected:
  static void SetUpTestSuite() { make_scenes("resume", 120); }
  static void TearDownTestSuite() { remove_scenes(); }

  static TrainOptions options(const std::string& name) {
    TrainOptions made = small_options();
    made.recipe = GetParam();
    made.epochs = 3;
    made.sampler.batch_size = 9;
    made.moco.n_key_batches = 3;
    // Clusters, other clusters, the whole embedding, one cluster.
    made.dac.kmeans.clusters = 4;
    made.dac.every = 1;
    made.dac.finetune_epoch = 3;
    if (GetParam() == "dac") made.epochs = 4;
    auto& groups = made.optimizer;
    groups.backbone.lr = groups.head.lr = groups.beta.lr = groups.regressor.lr = 1e-3f;
    made.schedule.milestones = {1, 2};
    made.validation.every = 2;
    made.validation.also = {"test"};
    made.validation.overlap = true;
    made.validation.retrieval.ks = {1, 2};
    made.run.directory = (folder_ / "runs").string();
    made.run.name = GetParam() + "-" + name;
    made.run.log_every = 1;
    return made;
  }

  struct Outcome {
    std::vector<float> values;
    std::string train, val, test;
    std::uint64_t steps = 0;
    bool operator==(const Outcome&) const = default;
  };

  /// Trains the run, new or continued; stops after `stop_after` steps when that is not 0.
  static Outcome train(const std::string& name, std::uint64_t stop_after) {
    const TrainOptions wanted = options(name);
    const fs::path folder = fs::path(wanted.run.directory) / wanted.run.name;
    RunDir run = RunDir::exists(folder) ? RunDir::open(folder) : RunDir::create(wanted);
    const auto device = Device::open("cpu");
    const PackedSet data = open_or_pack(wanted.data, wanted.pack);
    Trainer trainer(*device, wanted, data, run);
    std::atomic<bool> stop{false};
    TrainHooks hooks;
    hooks.stop = &stop;
    hooks.progress = [&](const TrainProgress& progress) { stop = stop_after > 0 && progress.step >= stop_after; };
    if (stop_after > 0) {
      EXPECT_THROW(trainer.run(hooks), Preempted) << "after step " << stop_after;
      return {};
    }
    Outcome outcome;
    outcome.steps = trainer.run(hooks).steps;
    outcome.values = trainer.block().values().to_host<float>();
    const std::vector<float> buffers = trainer.block().buffer_values().to_host<float>();
    outcome.values.insert(outcome.values.end(), buffers.begin(), buffers.end());
    outcome.train = text_of(folder / "train.csv");
    outcome.val = text_of(folder / "val.csv");
    outcome.test = text_of(folder / "test.csv");
    return outcome;
  }

  static std::string text_of(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

TEST_P(ResumeTest, TenCutsBitEqual) {
  const Outcome whole = train("whole", 0);
  ASSERT_NE(whole.test.find("overlap"), std::string::npos);
  ASSERT_GE(whole.steps, 11u) << "too few steps for ten cuts";
  for (const float v : whole.values) ASSERT_TRUE(std::isfinite(v));
  for (std::uint64_t cut = 1; cut <= 10; ++cut) {
    const std::string name = "cut" + std::to_string(cut);
    train(name, cut * (whole.steps - 1) / 10);
    EXPECT_TRUE(train(name, 0) == whole) << "stopped after step " << cut * (whole.steps - 1) / 10 << " of " << whole.steps;
    fs::remove_all(folder_ / "runs" / (GetParam() + "-" + name));
  }
}

INSTANTIATE_TEST_SUITE_P(, ResumeTest, ::testing::ValuesIn(TrainOptions::recipe_names()),
                         [](const ::testing::TestParamInfo<std::string>& param) { return param.param; });

}  // namespace
}  // namespace swath
