// Learning-rate schedules against closed forms (methods.md §3).
#include "engine/optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace swath {
namespace {

TEST(Schedule, StepMultipliesAtEveryMilestone) {
  const ScheduleOptions options{.kind = "step", .milestones = {3, 5}, .gamma = 0.3};
  const double expected[] = {1, 1, 1, 0.3, 0.3, 0.09, 0.09};
  for (int epoch = 0; epoch < 7; ++epoch) EXPECT_DOUBLE_EQ(schedule_factor(options, epoch, 7), expected[epoch]);
}

TEST(Schedule, DefaultIsThePublishedOne) {
  EXPECT_DOUBLE_EQ(schedule_factor({}, 54, 120), 1);
  EXPECT_DOUBLE_EQ(schedule_factor({}, 55, 120), 0.3);
}

TEST(Schedule, ExponentialAndNone) {
  EXPECT_DOUBLE_EQ(schedule_factor({.kind = "exp", .gamma = 0.9}, 4, 10), std::pow(0.9, 4));
  EXPECT_DOUBLE_EQ(schedule_factor({.kind = "none"}, 99, 100), 1);
}

TEST(Schedule, CosineWithWarmUp) {
  const ScheduleOptions options{.kind = "cosine", .warmup = 4, .floor = 0.1};
  for (int epoch = 0; epoch < 4; ++epoch) EXPECT_DOUBLE_EQ(schedule_factor(options, epoch, 14), (epoch + 1) / 5.0);
  EXPECT_DOUBLE_EQ(schedule_factor(options, 4, 14), 1);
  EXPECT_NEAR(schedule_factor(options, 9, 14), 0.55, 1e-12);
  EXPECT_NEAR(schedule_factor(options, 14, 14), 0.1, 1e-12);
}

}  // namespace
}  // namespace swath
