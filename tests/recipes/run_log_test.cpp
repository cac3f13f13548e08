// The log of a run as it is read back: curves, damaged lines, and the sums of its time.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "recipes/curves.h"
#include "recipes/run_timing.h"

namespace swath {
namespace {

namespace fs = std::filesystem;

class RunLog : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("swath_run_log_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

std::vector<MetricRecord> steps(std::size_t count) {
  std::vector<MetricRecord> records;
  for (std::size_t i = 1; i <= count; ++i)
    records.push_back({"train", i, 1, {{"loss", static_cast<double>(i)}, {"learning_rate", 0.5}}, 0});
  return records;
}

TEST(Curves, HaveALinePerSplitAndName) {
  std::vector<MetricRecord> records = steps(3);
  records.push_back({"val", 0, 0, {{"recall@1", 0.25}, {"map@1", 0.5}}, 0});
  records.push_back({"test", 0, 0, {{"recall@1", 0.125}, {"overlap", 1}}, 0});
  records.push_back({"val", 3, 1, {{"recall@1", 0.75}, {"map@1", 0.5}}, 0});
  EXPECT_EQ(logged_metrics(records), (std::vector<std::string>{"recall", "map", "overlap"}));
  EXPECT_EQ(step_values(records), (std::vector<std::string>{"loss", "learning_rate"}));
  const LineChart chart = score_chart(records, "t", [](const std::string& name) { return metric_of(name) == "recall"; });
  ASSERT_EQ(chart.series.size(), 2U);
  EXPECT_EQ(chart.series[0].name, "val recall@1");
  EXPECT_EQ(chart.series[0].x, (std::vector<double>{0, 1}));
  EXPECT_EQ(chart.series[0].y, (std::vector<double>{0.25, 0.75}));
  EXPECT_EQ(chart.series[1].y, (std::vector<double>{0.125}));
}

TEST(Curves, OfManyStepsAreMeans) {
  const LineChart few = step_chart(steps(10), "loss", 10);
  EXPECT_EQ(few.series[0].y.size(), 10U);
  const LineChart chart = step_chart(steps(25), "loss", 10);
  EXPECT_NE(chart.title.find("means of 3 steps"), std::string::npos);
  EXPECT_EQ(chart.series[0].x, (std::vector<double>{3, 6, 9, 12, 15, 18, 21, 24, 25}));
  EXPECT_EQ(chart.series[0].y, (std::vector<double>{2, 5, 8, 11, 14, 17, 20, 23, 25}));
  EXPECT_TRUE(step_chart(steps(5), "absent").series[0].x.empty());
}

TEST_F(RunLog, CountsDamagedLines) {
  std::ofstream(folder_ / "metrics.jsonl") << R"({"group": "val", "step": 3, "epoch": 1, "recall@1": 0.5, "time": 7})"
                                           << "\nDear Sir\n[1]\n{\"group\": 1, \"step\": 3, \"epoch\": 1}\n"
                                           << R"({"group": "val", "step": "3", "epoch": 1})" << '\n'
                                           << R"({"group": "val", "step": 4, "ep)";
  std::int64_t damaged = -1;
  const std::vector<MetricRecord> records = MetricLog(folder_).read(&damaged);
  EXPECT_EQ(damaged, 4);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].time, 7);
  EXPECT_EQ(records[0].values[0].second, 0.5);
}

TEST_F(RunLog, TimeOfAContinuedRunAddsUp) {
  {
    RunTiming timing(folder_);
    timing.add(Activity::step, 2);
    timing.add(Activity::waiting, 0.5);
    timing.count_step(8);
    timing.write(3);
    timing.write(4);
  }
  RunTiming timing(folder_);
  timing.add(Activity::step, 1);
  timing.count_step(7);
  const Json json = timing.to_json(10);
  EXPECT_EQ(json["seconds"], 14);
  EXPECT_EQ(json["steps"], 2);
  EXPECT_EQ(json["images"], 15);
  EXPECT_EQ(json["phases"]["training steps"], 3);
  EXPECT_EQ(json["phases"]["waiting for data"], 0.5);
  std::ofstream(folder_ / "timing.json") << "{\"phases\": 3";
  EXPECT_EQ(RunTiming(folder_).to_json(1)["seconds"], 1);
}

TEST(ActivityTimer, AddsTheTimeOfItsLife) {
  RunTiming timing("absent");
  const double begun = steady_seconds();
  {
    const ActivityTimer timer(timing, Activity::scoring);
    usleep(20000);
  }
  const double counted = timing.to_json(0)["phases"][name_of(Activity::scoring)];
  EXPECT_GE(counted, 0.02);
  EXPECT_LE(counted, steady_seconds() - begun);
}

}  // namespace
}  // namespace swath
