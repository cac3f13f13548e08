// Cases of adversarial_loss. methods.md §6 "Adversarial decorrelation".
#include "kernels/adversarial_loss.h"

#include <optional>

#include "tests/kernels/kernel_case.h"
#include "tests/reference/adversarial.h"

namespace swath::kernels::test {
namespace {

class AdversarialLossTest : public KernelTest {};

struct AdversarialCase {
  std::int64_t rows = 0, cols = 0;
  std::int64_t beyond = 0;  // columns behind those of the target
  std::optional<std::int32_t> row_count = {};
  float weight = 1.0f;
  float loss_scale = 1.0f;
  GradMode mode = GradMode::overwrite;
};

void check(Place place, const AdversarialCase& c) {
  SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.cols << " + " << c.beyond);
  const std::int64_t n = c.rows * c.cols, ld = c.cols + c.beyond;
  const std::int64_t used = c.row_count ? std::clamp<std::int64_t>(*c.row_count, 0, c.rows) : c.rows;
  const std::vector<float> target = reference::unit_rows(random_floats(n, 90), c.rows, c.cols);
  std::vector<float> prediction = random_floats(n, 91, -3, 3);
  std::vector<float> wide(static_cast<std::size_t>(c.rows * ld), 9.0f), wide_start(wide.size(), -0.5f);
  for (std::int64_t i = 0; i < n; ++i) wide[i / c.cols * ld + i % c.cols] = target[i];
  CaseMemory memory(place);
  float* loss = memory.make_output<float>(1);
  float* d_target = memory.put(wide_start);
  float* d_prediction = memory.put(std::vector<float>(static_cast<std::size_t>(n), -0.5f));
  AdversarialLossArgs args{.target = memory.put(wide),
                           .prediction = memory.put(prediction),
                           .row_count = c.row_count ? memory.put_one(*c.row_count) : nullptr,
                           .loss_scale = memory.put_one(c.loss_scale),
                           .loss = loss,
                           .d_target = d_target,
                           .d_prediction = d_prediction,
                           .rows = c.rows,
                           .cols = c.cols,
                           .target_ld = ld,
                           .d_target_ld = ld,
                           .weight = c.weight,
                           .d_target_mode = c.mode,
                           .d_prediction_mode = c.mode};
  args.workspace = memory.make_workspace(adversarial_loss_workspace(args));
  memory.run([&](auto exec) { adversarial_loss(args, exec); });
  expect_close({memory.get_one(loss)},
               {reference::adversarial_loss<double>(to_double(target), to_double(prediction), used, c.cols, c.weight)},
               {reference::adversarial_loss<float>(target, prediction, used, c.cols, c.weight)});
  const auto d = reference::adversarial_gradient<double>(to_double(target), to_double(prediction), used, c.cols, c.weight);
  const auto naive = reference::adversarial_gradient<float>(target, prediction, used, c.cols, c.weight);
  const auto after = [&](auto gradient) {
    using T = typename decltype(gradient)::value_type;
    for (T& v : gradient)
      v = c.mode == GradMode::skip ? T(-0.5) : T(c.loss_scale) * v + (c.mode == GradMode::accumulate ? T(-0.5) : T(0));
    return gradient;
  };
  std::vector<float> got_target;
  const std::vector<float> wide_after = memory.get(d_target, c.rows * ld);
  for (std::int64_t i = 0; i < c.rows * ld; ++i) {
    if (i % ld < c.cols) {
      got_target.push_back(wide_after[i]);
    } else {
      EXPECT_EQ(wide_after[i], -0.5f) << "written behind the target's columns";
    }
  }
  expect_close(got_target, after(d.target), after(naive.target));
  // With few columns the projection cancels what it is made of: 2 weight t² r / (n |p|).
  double terms = 0;
  for (std::int64_t i = 0; i < used * c.cols; ++i) {
    const double t = static_cast<double>(target[i]), length = std::abs(static_cast<double>(prediction[i]));
    terms = std::max(terms, 2 * static_cast<double>(c.weight) * t * t / static_cast<double>(used * c.cols) / length);
  }
  expect_close(memory.get(d_prediction, n), after(d.prediction), after(naive.prediction), c.cols == 1 ? terms : 0);
}

TEST_P(AdversarialLossTest, MatchesReference) {
  for (const std::int64_t rows : {0, 1, 31, 33, 130}) {
    for (const std::int64_t cols : {1, 31, 32, 33, 128, 160}) {
      check(GetParam(), {.rows = rows, .cols = cols});
      check(GetParam(), {.rows = rows, .cols = cols, .beyond = 4, .weight = 1e5f});
    }
  }
}

TEST_P(AdversarialLossTest, RowsInUseModesAndScale) {
  for (const std::int32_t count : {-1, 0, 1, 20, 33, 500}) check(GetParam(), {.rows = 33, .cols = 12, .row_count = count});
  for (const GradMode mode : {GradMode::skip, GradMode::overwrite, GradMode::accumulate})
    check(GetParam(),
          {.rows = 33, .cols = 12, .beyond = 3, .row_count = 30, .weight = 1500, .loss_scale = -0.25f, .mode = mode});
}

/// Independent of the closed form: slopes of the double loss.
TEST(AdversarialReference, GradientsAreThoseOfTheLoss) {
  const std::vector<double> target = reference::unit_rows(to_double(random_floats(12, 92)), 3, 4),
                            prediction = to_double(random_floats(12, 93));
  const auto d = reference::adversarial_gradient(target, prediction, 2, 4, 3.0);
  const auto by_target = central_differences(
      target, [&](const std::vector<double>& t) { return reference::adversarial_loss(t, prediction, 2, 4, 3.0); });
  const auto by_prediction = central_differences(
      prediction, [&](const std::vector<double>& p) { return reference::adversarial_loss(target, p, 2, 4, 3.0); });
  EXPECT_LT(largest_error(by_target, d.target), 1e-9);
  EXPECT_LT(largest_error(by_prediction, d.prediction), 1e-9);
}

TEST_P(AdversarialLossTest, PredictionsBelowTheFloor) {
  CaseMemory memory(GetParam());
  const std::vector<float> target = reference::unit_rows(random_floats(8, 94), 2, 4);
  float* loss = memory.make_output<float>(1);
  float* d_target = memory.make_output<float>(8);
  float* d_prediction = memory.make_output<float>(8);
  AdversarialLossArgs args{.target = memory.put(target),
                           .prediction = memory.put(std::vector<float>(8, 0.0f)),
                           .loss = loss,
                           .d_target = d_target,
                           .d_prediction = d_prediction,
                           .rows = 2,
                           .cols = 4,
                           .target_ld = 4,
                           .d_target_ld = 4};
  args.workspace = memory.make_workspace(adversarial_loss_workspace(args));
  memory.run([&](auto exec) { adversarial_loss(args, exec); });
  EXPECT_EQ(memory.get_one(loss), 0.0f);
  for (const float* d : {d_target, d_prediction})
    for (const float v : memory.get(d, 8)) EXPECT_EQ(v, 0.0f);
}

SWATH_KERNEL_PLACES(AdversarialLossTest);

}  // namespace
}  // namespace swath::kernels::test
