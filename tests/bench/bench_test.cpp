// What swath bench computes from samples, words and files.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <random>
#include <set>
#include <thread>

#include "bench/compare.h"
#include "bench/measure.h"
#include "bench/plan.h"
#include "bench/runner.h"
#include "engine/core/config.h"

namespace swath::bench {
namespace {

TEST(BenchTimes, IntervalOfTheMedianByOrderStatistics) {
  // Textbook ranks: for 10 samples the 2nd and 9th (97.9 %), for 20 the 6th and 15th (95.9 %), for 5 nothing reaches 95 %.
  const auto interval = [](int n) {
    std::vector<double> seconds;
    for (int i = n; i > 0; --i) seconds.push_back(i);
    const Times times = times_of(seconds);
    return std::pair{times.low, times.high};
  };
  EXPECT_EQ(interval(10), (std::pair{2.0, 9.0}));
  EXPECT_EQ(interval(20), (std::pair{6.0, 15.0}));
  EXPECT_EQ(interval(100), (std::pair{40.0, 61.0}));
  EXPECT_EQ(interval(5), (std::pair{1.0, 5.0}));
  EXPECT_EQ(interval(1), (std::pair{1.0, 1.0}));
}

TEST(BenchTimes, MedianMeanNoise) {
  const Times times = times_of({4, 1, 2, 3});
  EXPECT_EQ(times.samples, 4);
  EXPECT_DOUBLE_EQ(times.median, 2.5);
  EXPECT_DOUBLE_EQ(times.mean, 2.5);
  EXPECT_DOUBLE_EQ(times.fastest, 1);
  EXPECT_DOUBLE_EQ(times.noise, 60);  // half of 4 − 1, of 2.5
  EXPECT_NEAR(times.deviation, 100 * std::sqrt(5.0 / 3) / 2.5, 1e-12);
}

TEST(BenchTimes, IntervalHoldsTheMedianOfASkewedDistribution) {
  std::mt19937 random(5);
  std::exponential_distribution<double> tail(1.0);
  for (const int n : {10, 30, 300}) {
    int held = 0;
    constexpr int kRounds = 2000;
    for (int round = 0; round < kRounds; ++round) {
      std::vector<double> seconds;
      for (int i = 0; i < n; ++i) seconds.push_back(1 + tail(random));
      const Times times = times_of(seconds);
      held += times.low <= 1 + std::log(2) && 1 + std::log(2) <= times.high ? 1 : 0;
    }
    EXPECT_GE(held, kRounds * 0.935) << n;
  }
}

TEST(BenchMeasure, MeetsItsLimitsOrSaysSo) {
  struct Fixed : Timer {
    double time(const std::function<void()>& call, std::int64_t calls) override {
      call();
      return 2e-6 * static_cast<double>(calls);
    }
    void flush() override { ++flushes; }
    int flushes = 0;
  } timer;
  int calls = 0;
  const Job job{{}, [&] { ++calls; }};
  const Times batched = measure(timer, job, Mode::batched, {.min_samples = 12, .min_time = 0, .max_noise = 1, .timeout = 10});
  EXPECT_EQ(batched.samples, 12);
  EXPECT_GE(static_cast<double>(batched.batch) * 2e-6, 1e-3);
  EXPECT_NEAR(batched.median, 2e-6, 1e-15);
  EXPECT_FALSE(batched.timed_out);
  EXPECT_EQ(timer.flushes, 0);
  const Times cold = measure(timer, job, Mode::cold, {.min_samples = 12, .min_time = 1e-3, .max_noise = 1, .timeout = 10});
  EXPECT_EQ(cold.batch, 1);
  EXPECT_GE(cold.samples, 500);
  EXPECT_EQ(timer.flushes, cold.samples);
  const Times late = measure(timer, job, Mode::cold, {.min_samples = 1 << 30, .min_time = 0, .max_noise = 1, .timeout = 0.01});
  EXPECT_TRUE(late.timed_out);
}

Measured measured(double low, double median, double high) { return {"case", "rows=1", "cold", median, low, high}; }

TEST(BenchCompare, VerdictsKnowNoise) {
  const Measured reference = measured(0.99, 1, 1.01);
  EXPECT_EQ(compare(reference, measured(0.98, 1, 1.02), 5).verdict, Verdict::same);
  EXPECT_EQ(compare(reference, measured(1.19, 1.2, 1.21), 5).verdict, Verdict::slower);
  EXPECT_EQ(compare(reference, measured(0.79, 0.8, 0.81), 5).verdict, Verdict::faster);
  // The same medians with much noise: nobody knows.
  EXPECT_EQ(compare(reference, measured(0.7, 1.2, 1.9), 5).verdict, Verdict::undecided);
  EXPECT_EQ(compare(measured(0.5, 1, 1.5), measured(1.19, 1.2, 1.21), 5).verdict, Verdict::undecided);
  // The interval touches the border of 5 %.
  EXPECT_EQ(compare(reference, measured(1.03, 1.04, 1.05), 5).verdict, Verdict::undecided);
  EXPECT_EQ(compare(reference, measured(1.03, 1.04, 1.05), 10).verdict, Verdict::same);
}

TEST(BenchCompare, PairsByBenchmarkShapeAndMode) {
  const Results a{"x",
                  {{"k", "rows=1", "cold", 1, 1, 1}, {"k", "rows=2", "cold", 1, 1, 1}, {"k", "rows=1", "batched", 1, 1, 1}}};
  const Results b{"x",
                  {{"k", "rows=1", "batched", 2, 2, 2}, {"k", "rows=1", "cold", 1, 1, 1}, {"j", "rows=2", "cold", 1, 1, 1}}};
  const Comparisons compared = compare(a, b, 5);
  ASSERT_EQ(compared.both.size(), 2u);
  EXPECT_EQ(compared.count(Verdict::same), 1);
  EXPECT_EQ(compared.count(Verdict::slower), 1);
  EXPECT_EQ(compared.only_a.size(), 1u);
  EXPECT_EQ(compared.only_b.size(), 1u);
}

TEST(BenchCompare, ReadsWhatARunWrites) {
  const auto device = Device::open("cpu");
  const Plan plan(find_benchmark("row_normalize"));
  const auto timer = make_timer(*device);
  const RunSettings settings{
      {.min_samples = 3, .min_time = 0, .max_noise = 1000, .timeout = 5}, {Mode::cold, Mode::batched}, {}};
  const State state = run_shape(*device, plan, plan.counted_shape(), *timer, settings);
  const DeviceFacts facts{.name = "cpu", .title = "a processor", .threads = 2, .peaks = {1e10, 1e10, "given", "given"}};
  Json benchmark = json_of(plan, settings.limits);
  benchmark["states"].push_back(json_of(state, facts));
  const Json file{{"devices", {json_of(facts)}}, {"benchmarks", {benchmark}}};
  const Results results = results_of(file, "file");
  ASSERT_EQ(results.rows.size(), 2u);
  EXPECT_EQ(results.device, "a processor, 2 threads");
  EXPECT_DOUBLE_EQ(results.rows[0].median, state.measurements[0].times.median);
  EXPECT_DOUBLE_EQ(results.rows[1].high, state.measurements[1].times.high);
  EXPECT_THROW(results_of(Json::object(), "file"), DataError);
  EXPECT_THROW(results_of(Json{{"devices", 3}}, "file"), DataError);
}

TEST(BenchTimer, ProcessorTimeLeavesOutSleep) {
  const auto device = Device::open("cpu");
  const auto sleep = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  EXPECT_GE(make_timer(*device)->time(sleep, 2), 0.04);
  EXPECT_LT(make_timer(*device, Clock::processor)->time(sleep, 2), 0.02);
}

TEST(BenchPlan, AxesBelongToTheBenchmarkBefore) {
  using Kind = PlanWord::Kind;
  const std::vector<Plan> plans = plans_of({{Kind::axis, "cols=7"},
                                            {Kind::benchmark, "margin_loss"},
                                            {Kind::axis, "rows=3,4"},
                                            {Kind::benchmark, "adam"},
                                            {Kind::benchmark, "margin_loss"}});
  ASSERT_EQ(plans.size(), 3u);
  ASSERT_EQ(plans[0].shapes().size(), 2u);
  EXPECT_EQ(plans[0].shapes()[1].text(), "rows=4 cols=7");
  EXPECT_EQ(plans[1].shapes()[0].text(), "elements=25000000");
  EXPECT_GT(plans[2].shapes().size(), 2u);
  EXPECT_EQ(plans_of({}).size(), benchmarks().size());
}

TEST(BenchPlan, RefusesWithTheNearestName) {
  using Kind = PlanWord::Kind;
  const auto message = [](const std::vector<PlanWord>& words) -> std::string {
    try {
      plans_of(words);
    } catch (const UserError& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_NE(message({{Kind::benchmark, "margin_los"}}).find("margin_loss"), std::string::npos);
  EXPECT_NE(message({{Kind::benchmark, "adam"}, {Kind::axis, "element=3"}}).find("did you mean elements?"), std::string::npos);
  EXPECT_NE(message({{Kind::benchmark, "adam"}, {Kind::axis, "elements=0"}}).find("1 to "), std::string::npos);
  EXPECT_NE(message({{Kind::axis, "bits=8"}}).find("16, 32"), std::string::npos);
  for (const char* text : {"elements", "elements=", "=3", "elements=3,", "elements=3;4", "elements=1e9", "elements=-"})
    EXPECT_FALSE(message({{Kind::benchmark, "adam"}, {Kind::axis, text}}).empty()) << text;
}

/// The whole list on the CPU: every benchmark runs at the shape of the simulator's counts, twice with the same inputs.
TEST(BenchRegistry, EveryBenchmarkRuns) {
  const auto device = Device::open("cpu");
  std::set<std::string> names;
  for (const Benchmark& benchmark : benchmarks()) {
    SCOPED_TRACE(benchmark.name);
    EXPECT_TRUE(names.insert(benchmark.name).second);
    EXPECT_FALSE(benchmark.what.empty());
    Arena arena(*device);
    const Plan plan(benchmark);
    for (const Axis& axis : plan.axes)
      for (const std::int64_t value : axis.values) EXPECT_TRUE(value >= axis.low && value <= axis.high) << axis.name;
    const Job job = benchmark.prepare(arena, plan.counted_shape());
    job.run();
    EXPECT_GT(job.cost.bytes, 0);
    EXPECT_EQ(job.cost.sectors > 0, !benchmark.composite);
    EXPECT_EQ(arena.scratch_bytes() > 0, !benchmark.composite);
  }
}

}  // namespace
}  // namespace swath::bench
