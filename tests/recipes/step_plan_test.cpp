// The plan of a step against what a device counted: bench/step_counts.json holds the kernels, copies and fills of every
// recipe's graph, recorded on a CUDA device by cuda_graph_test; the same configurations must plan the same numbers.
#include "recipes/step_plan.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include <nlohmann/json.hpp>

#include "engine/device/device.h"
#include "engine/device/step_ledger.h"
#include "tests/recipes/graph_case.h"

namespace swath {
namespace {

using testing::graph_cases;
using testing::GraphCase;

class StepPlanOf : public ::testing::TestWithParam<GraphCase> {};

TEST_P(StepPlanOf, HasTheKernelsOfTheRecordedGraph) {
  const TrainOptions options = testing::graph_options(GetParam(), testing::small_network());
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

INSTANTIATE_TEST_SUITE_P(Recipes, StepPlanOf, ::testing::ValuesIn(graph_cases()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(StepCounts, AreThoseOfTheCases) {
  std::ifstream file(SWATH_STEP_COUNTS);
  const nlohmann::json counts = nlohmann::json::parse(file);
  std::set<std::string> kept, wanted;
  for (const auto& item : counts.items()) kept.insert(item.key());
  for (const GraphCase& of : graph_cases()) wanted.insert(of.name);
  EXPECT_EQ(kept, wanted);
}

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
  const TrainOptions options = testing::small_network();
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
