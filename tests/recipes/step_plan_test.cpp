// The plan of a step against what a device counted: bench/step_counts.json holds the kernels, copies and fills of every
// recipe's graph, recorded on a CUDA device by cuda_graph_test; the same configurations must plan the same numbers.
#include "recipes/step_plan.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include <nlohmann/json.hpp>

#include "engine/device/device.h"
#include "engine/device/step_ledger.h"

namespace swath {
namespace {

struct Case {
  const char* name;
  std::function<void(TrainOptions&)> set;
};

std::function<void(TrainOptions&)> frozen_with(const char* miner) {
  return [miner](TrainOptions& options) {
    options.miner.name = miner;
    options.model.frozen = true;
  };
}

std::function<void(TrainOptions&)> frozen_with_loss(const char* loss) {
  return [loss](TrainOptions& options) {
    options.loss.name = loss;
    options.model.frozen = true;
  };
}

std::function<void(TrainOptions&)> recipe(const char* name) {
  return [name](TrainOptions& options) { options.recipe = name; };
}

void dac(TrainOptions& options) {
  options.recipe = "dac";
  options.dac.kmeans.clusters = 2;
}

void sndl(TrainOptions& options) {
  options.recipe = "sndl";
  options.sampler.batch_size = 8;
}

/// The network and the sizes of cuda_graph_test.
TrainOptions small_options() {
  TrainOptions options;
  options.data.image_size = 40;
  options.crop = 32;
  options.model.backbone = "resnet18";
  options.model.embedding = 32;
  options.sampler.classes_per_batch = 4;
  options.moco.n_key_batches = 2;
  options.bier.regressor_hidden = options.diva.regressor_hidden = 32;
  return options;
}

class StepPlanOf : public ::testing::TestWithParam<Case> {};

TEST_P(StepPlanOf, HasTheKernelsOfTheRecordedGraph) {
  TrainOptions options = small_options();
  GetParam().set(options);
  const StepPlan plan = plan_step(options, {.rows = 8, .classes = 6, .images = 48});
  std::int64_t kernels = 0, copies = 0, fills = 0;
  for (const StepLine& line : plan.lines) {
    const bool outside = line.pass == "input" && line.kernel != "augment";
    if (outside) continue;
    kernels += line.cost.launches;
    copies += line.kernel == "copy" ? line.calls : 0;
    fills += line.kernel == "fill_zero" ? line.calls : 0;
  }
  std::ifstream file(SWATH_STEP_COUNTS);
  const nlohmann::json kept = nlohmann::json::parse(file).at(GetParam().name);
  EXPECT_EQ(kernels, kept.at("kernels"));
  EXPECT_EQ(copies, kept.at("copies"));
  EXPECT_EQ(fills, kept.at("fills"));
}

INSTANTIATE_TEST_SUITE_P(Recipes, StepPlanOf,
                         ::testing::Values(Case{"baseline", [](TrainOptions&) {}},
                                           Case{"baseline_semihard", frozen_with("semihard")},
                                           Case{"baseline_distance", frozen_with("distance")},
                                           Case{"baseline_random_distance", frozen_with("random_distance")},
                                           Case{"baseline_intra_random", frozen_with("intra_random")},
                                           Case{"baseline_multilabel_semihard", frozen_with("multilabel_semihard")},
                                           Case{"baseline_bf16", [](TrainOptions& options) { options.precision = "bf16"; }},
                                           Case{"baseline_fp16", [](TrainOptions& options) { options.precision = "fp16"; }},
                                           Case{"baseline_binomial", frozen_with_loss("binomial")},
                                           Case{"baseline_nca", frozen_with_loss("nca")},
                                           Case{"baseline_bce", frozen_with_loss("bce")}, Case{"bier", recipe("bier")},
                                           Case{"dac", dac}, Case{"diva", recipe("diva")}, Case{"sndl", sndl}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(DryDevice, TakesDownCopiesAndFillsAndGivesZeros) {
  StepLedger ledger;
  const std::unique_ptr<Device> device = open_dry(ledger);
  const Tensor values = Tensor::from_host(*device, {4}, std::vector<float>{1, 2, 3, 4});
  const Tensor copied = values.clone();
  copied.fill_zero();
  ASSERT_EQ(ledger.entries().size(), 3u);
  EXPECT_EQ(ledger.entries()[0].kernel, "copy_from_host");
  EXPECT_EQ(ledger.entries()[1].kernel, "copy");
  EXPECT_EQ(ledger.entries()[1].cost.bytes(), 32);
  EXPECT_EQ(ledger.entries()[2].cost.written, 16);
  EXPECT_EQ(values.to_host<float>(), std::vector<float>(4));
  EXPECT_FALSE(device->is_cuda());
}

TEST(DryDevice, NamesPassAndPartWhileTheyLast) {
  StepLedger ledger;
  const std::unique_ptr<Device> device = open_dry(ledger);
  const Tensor values = Tensor::zeros(*device, {4});
  {
    const LedgerPass pass(&ledger, "forward");
    const LedgerPart part(&ledger, "trunk");
    values.fill_zero();
  }
  values.fill_zero();
  EXPECT_STREQ(ledger.entries()[1].pass, "forward");
  EXPECT_STREQ(ledger.entries()[1].part, "trunk");
  EXPECT_STREQ(ledger.entries()[2].pass, ledger.entries()[0].pass);
  const LedgerPass none(nullptr, "forward");
}

TEST(StepPlan, HoldsMemoryAsThePoolCounts) {
  const TrainOptions options = small_options();
  const StepPlan small = plan_step(options, {.rows = 8, .classes = 6, .images = 48});
  const StepPlan large = plan_step(options, {.rows = 16, .classes = 6, .images = 48});
  EXPECT_GT(large.peak_memory, small.peak_memory);
  EXPECT_GE(small.held_memory, small.peak_memory);
  const std::int64_t fits = largest_batch(options, {.classes = 6, .images = 48}, large.held_memory);
  EXPECT_GE(fits, 16);
  EXPECT_EQ(largest_batch(options, {.classes = 6, .images = 48}, 1000), 0);
}

}  // namespace
}  // namespace swath
