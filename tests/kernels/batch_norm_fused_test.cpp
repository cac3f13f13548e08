// What is left of batch normalisation around convolutions that gather its sums, against tests/reference/batch_norm.h.
#include "kernels/batch_norm_fused.h"

#include "tests/kernels/element_case.h"
#include "tests/reference/batch_norm.h"

namespace swath::kernels::test {
namespace {

using reference::BatchNormProblem;

struct Case {
  std::int64_t rows = 0, channels = 0;
  DType dtype = DType::f16;
  bool shortcut = false;
  std::size_t misalign = 0;
};

class BatchNormFusedTest : public KernelTest {
 protected:
  static BatchNormProblem<float> problem_of(const Case& c) {
    const std::int64_t n = c.rows * c.channels;
    BatchNormProblem<float> p;
    p.rows = c.rows;
    p.channels = c.channels;
    p.x = rounded(random_floats(n, 1, -2, 3), c.dtype);
    p.gamma = random_floats(c.channels, 2, 0.5f, 1.5f);
    p.beta = random_floats(c.channels, 3, -0.5f, 0.5f);
    if (c.shortcut) {
      p.shortcut_x = rounded(random_floats(n, 4, -1, 4), c.dtype);
      p.shortcut_gamma = random_floats(c.channels, 5, 0.5f, 1.5f);
      p.shortcut_beta = random_floats(c.channels, 6, -0.5f, 0.5f);
    }
    return p;
  }
  static BatchNormProblem<double> exact_of(const BatchNormProblem<float>& p) {
    BatchNormProblem<double> q;
    q.rows = p.rows;
    q.channels = p.channels;
    q.x = to_double(p.x), q.gamma = to_double(p.gamma), q.beta = to_double(p.beta);
    q.shortcut_x = to_double(p.shortcut_x), q.shortcut_gamma = to_double(p.shortcut_gamma);
    q.shortcut_beta = to_double(p.shortcut_beta);
    return q;
  }
  void check_input(const Case& c, GradMode mode);
  void check_finish(std::int64_t rows, std::int64_t channels);
};

std::vector<float> narrow(const std::vector<double>& values) { return {values.begin(), values.end()}; }

std::vector<float> both(std::vector<double> first, const std::vector<double>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return narrow(first);
}

std::vector<float> inverse_deviations(const std::vector<double>& variance) {
  std::vector<float> out;
  for (const double v : variance) out.push_back(static_cast<float>(1 / std::sqrt(v + 1e-5)));
  return out;
}

void BatchNormFusedTest::check_input(const Case& c, GradMode mode) {
  CaseMemory memory(GetParam());
  const BatchNormProblem<float> naive = problem_of(c);
  const BatchNormProblem<double> exact = exact_of(naive);
  const std::int64_t n = c.rows * c.channels;
  const std::vector<float> d_y = rounded(random_floats(n, 7), c.dtype), before = random_floats(2 * c.channels, 8);
  const auto wanted = batch_norm_gradients(exact, to_double(d_y));
  const auto rough = batch_norm_gradients(naive, d_y);
  void* const gradient = put_elements(memory, d_y, c.dtype, c.misalign);
  const auto input = [&](const std::vector<float>& x, const std::vector<float>& gamma, const std::vector<double>& d_gamma,
                         const std::vector<double>& d_beta, const BatchNormProblem<double>& of, void* d_x) {
    const auto s = batch_norm_statistics(of);
    float* const parameters = memory.put(before);
    return NormInput{.term = {.x = put_elements(memory, x, c.dtype, c.misalign),
                              .gamma = memory.put(gamma),
                              .mean = memory.put(narrow(s.mean)),
                              .spread = memory.put(inverse_deviations(s.variance))},
                     .sums = memory.put(both(d_gamma, d_beta)),
                     .gradient = {.d_x = d_x, .d_gamma = parameters, .d_beta = parameters + c.channels, .mode = mode}};
  };
  BatchNormInputArgs args{.rows = c.rows, .channels = c.channels, .dtype = c.dtype, .d_y = gradient};
  args.main = input(naive.x, naive.gamma, wanted.gamma, wanted.beta, exact, make_elements(memory, n, c.dtype, c.misalign));
  // The second term takes the gradient's place.
  if (c.shortcut)
    args.shortcut = input(naive.shortcut_x, naive.shortcut_gamma, wanted.shortcut_gamma, wanted.shortcut_beta,
                          batch_norm_shortcut(exact), gradient);
  memory.run([&](auto exec) { batch_norm_input(args, exec); });
  expect_elements_close(get_elements(memory, args.main.gradient.d_x, n, c.dtype), wanted.x, rough.x, c.dtype);
  if (c.shortcut)
    expect_elements_close(get_elements(memory, gradient, n, c.dtype), wanted.shortcut_x, rough.shortcut_x, c.dtype);

  std::vector<float> parameters = both(wanted.gamma, wanted.beta);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (mode == GradMode::skip) parameters[i] = before[i];
    if (mode == GradMode::accumulate) parameters[i] = before[i] + parameters[i];
  }
  EXPECT_EQ(memory.get(args.main.gradient.d_gamma, 2 * c.channels), parameters);
}

TEST_P(BatchNormFusedTest, GradientOfWhatWasNormalised) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32})
    for (const bool shortcut : {false, true}) {
      for (const std::int64_t rows : {2, 3, 33, 65, 700}) check_input({rows, 8, dtype, shortcut}, GradMode::overwrite);
      for (const std::int64_t channels : {1, 7, 24, 64, 72, 520})
        check_input({37, channels, dtype, shortcut}, GradMode::accumulate);
      check_input({50, 64, dtype, shortcut, 1}, GradMode::skip);
    }
  check_input({8700, 64, DType::f16, true}, GradMode::overwrite);
}

void BatchNormFusedTest::check_finish(std::int64_t rows, std::int64_t channels) {
  CaseMemory memory(GetParam());
  const BatchNormProblem<float> naive = problem_of({rows, channels});
  const BatchNormProblem<double> exact = exact_of(naive);
  const auto s = batch_norm_statistics(exact);
  std::vector<double> sum(static_cast<std::size_t>(channels)), squares(sum);
  for (std::size_t i = 0; i < exact.x.size(); ++i) {
    sum[i % sum.size()] += exact.x[i];
    squares[i % sum.size()] += exact.x[i] * exact.x[i];
  }
  const std::vector<float> before = random_floats(channels, 9, 0.1f, 1);
  const BatchNormFinishArgs args{.rows = rows,
                                 .channels = channels,
                                 .sums = memory.put(both(sum, squares)),
                                 .gamma = memory.put(naive.gamma),
                                 .beta = memory.put(naive.beta),
                                 .running_mean = memory.put(before),
                                 .running_var = memory.put(before),
                                 .mean = memory.make_output<float>(channels),
                                 .invstd = memory.make_output<float>(channels),
                                 .scale = memory.make_output<f16>(channels),
                                 .bias = memory.make_output<f16>(channels)};
  memory.run([&](auto exec) { batch_norm_finish(args, exec); });
  const auto mean = memory.get(args.mean, channels), invstd = memory.get(args.invstd, channels),
             running_mean = memory.get(args.running_mean, channels), running_var = memory.get(args.running_var, channels),
             scale = testing::widened(memory.get(args.scale, channels)),
             bias = testing::widened(memory.get(args.bias, channels));
  const double n = static_cast<double>(rows);
  for (std::size_t c = 0; c < before.size(); ++c) {
    const double deviation = std::sqrt(s.variance[c] + 1e-5), factor = exact.gamma[c] / deviation,
                 old = static_cast<double>(before[c]);
    // The sums are rounded to float32: the variance by 2^-24 of the mean of squares.
    const double spread = (s.variance[c] + s.mean[c] * s.mean[c]) * 0x1p-22;
    EXPECT_NEAR(mean[c], s.mean[c], 1e-6) << c;
    EXPECT_NEAR(invstd[c] * deviation, 1, 1e-6 + spread / (s.variance[c] + 1e-5)) << c;
    EXPECT_NEAR(running_mean[c], 0.9 * old + 0.1 * s.mean[c], 1e-6) << c;
    EXPECT_NEAR(running_var[c], 0.9 * old + 0.1 * s.variance[c] * n / std::max(n - 1, 1.0), 1e-5) << c;
    EXPECT_NEAR(scale[c], factor, std::abs(factor) / 2048 * 1.01 + factor * spread / (s.variance[c] + 1e-5)) << c;
    EXPECT_NEAR(bias[c], exact.beta[c] - s.mean[c] * factor,
                std::abs(exact.beta[c] - s.mean[c] * factor) / 2048 + 1e-5 + factor * spread / (s.variance[c] + 1e-5))
        << c;
  }
}

TEST_P(BatchNormFusedTest, StatisticsFromSums) {
  for (const std::int64_t rows : {2, 3, 64, 1000}) check_finish(rows, 8);
  for (const std::int64_t channels : {1, 127, 128, 129, 2048}) check_finish(40, channels);
}

TEST_P(BatchNormFusedTest, OfNoRowsRunningStatisticsStayAndGradientsAreZero) {
  CaseMemory memory(GetParam());
  const std::vector<float> before = random_floats(8, 9, 0.1f, 1), zeros(16);
  const BatchNormFinishArgs args{.rows = 0,
                                 .channels = 8,
                                 .sums = memory.put(zeros),
                                 .gamma = memory.put(before),
                                 .beta = memory.put(before),
                                 .running_mean = memory.put(before),
                                 .running_var = memory.put(before),
                                 .mean = memory.make_output<float>(8),
                                 .invstd = memory.make_output<float>(8),
                                 .scale = memory.make_output<f16>(8),
                                 .bias = memory.make_output<f16>(8)};
  memory.run([&](auto exec) { batch_norm_finish(args, exec); });
  EXPECT_EQ(memory.get(args.running_mean, 8), before);
  EXPECT_EQ(memory.get(args.running_var, 8), before);
  EXPECT_EQ(memory.get(args.mean, 8), std::vector<float>(8));
  float* const parameters = memory.make_output<float>(16);
  const BatchNormInputArgs input{
      .rows = 0,
      .channels = 8,
      .dtype = DType::f16,
      .main = {.sums = memory.put(zeros), .gradient = {.d_gamma = parameters, .d_beta = parameters + 8}}};
  memory.run([&](auto exec) { batch_norm_input(input, exec); });
  EXPECT_EQ(memory.get(parameters, 16), zeros);
}

SWATH_KERNEL_PLACES(BatchNormFusedTest);

}  // namespace
}  // namespace swath::kernels::test
