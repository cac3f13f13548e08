// Batch normalisation: statistics, both forward forms and every gradient against tests/reference/batch_norm.h.
#include "kernels/batch_norm.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "tests/kernels/element_case.h"
#include "tests/reference/batch_norm.h"

namespace swath::kernels::test {
namespace {

using reference::BatchNormProblem;

struct Case {
  std::int64_t rows = 0, channels = 0;
  DType dtype = DType::f32;
  bool residual = false, relu = false;
  bool mask_from_output = false;
  float offset = 0;  // added to every x
  std::size_t misalign = 0;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.rows << "x" << c.channels << " " << name_of(c.dtype) << (c.residual ? " residual" : "")
             << (c.relu ? " relu" : "") << (c.mask_from_output ? " y" : "") << " offset " << c.offset << " misaligned by "
             << c.misalign;
}

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const std::int64_t rows : {1, 2, 31, 32, 33, 65}) list.push_back({rows, 8, dtype, true, true, true});
    for (const std::int64_t channels : {1, 3, 12, 31, 64, 65}) {
      list.push_back({37, channels, dtype, false, false, false});
      list.push_back({37, channels, dtype, false, true, false});
      list.push_back({37, channels, dtype, false, true, true});
      list.push_back({37, channels, dtype, true, true, true});
      list.push_back({37, channels, dtype, true, false, false});
    }
    list.push_back({18, 2048, dtype, true, true, true});
    list.push_back({1300, 8, dtype, false, true, false});
    list.push_back({50, 64, dtype, true, true, true, 0, 1});
  }
  list.push_back({300, 12, DType::f32, false, true, true, 1000});
  list.push_back({300, 64, DType::f32, true, true, true, -5000});
  return list;
}

struct Inputs {
  std::vector<float> x, residual, gamma, beta, d_y;
};

Inputs inputs_of(const Case& c) {
  const std::int64_t n = c.rows * c.channels;
  Inputs in{random_floats(n, 1, -2, 3),
            {},
            random_floats(c.channels, 2, 0.5f, 1.5f),
            random_floats(c.channels, 3, -0.5f, 0.5f),
            rounded(random_floats(n, 4), c.dtype)};
  for (float& v : in.x) v += c.offset;
  in.x = rounded(in.x, c.dtype);
  if (c.residual) in.residual = rounded(random_floats(n, 5), c.dtype);
  return in;
}

template <class Real>
BatchNormProblem<Real> problem_of(const Case& c, const Inputs& in) {
  return {c.rows,
          c.channels,
          {in.x.begin(), in.x.end()},
          {in.residual.begin(), in.residual.end()},
          {in.gamma.begin(), in.gamma.end()},
          {in.beta.begin(), in.beta.end()},
          c.relu};
}

/// The device side of one case.
struct Buffers {
  const void *x, *residual, *d_y;
  const float *gamma, *beta;
  float *mean, *invstd;
  void* y;
};

Buffers upload(CaseMemory& memory, const Case& c, const Inputs& in) {
  return {put_elements(memory, in.x, c.dtype, c.misalign),
          c.residual ? put_elements(memory, in.residual, c.dtype, c.misalign) : nullptr,
          put_elements(memory, in.d_y, c.dtype, c.misalign),
          memory.put(in.gamma),
          memory.put(in.beta),
          memory.make_output<float>(c.channels),
          memory.make_output<float>(c.channels),
          make_elements(memory, c.rows * c.channels, c.dtype, c.misalign)};
}

void train(CaseMemory& memory, const Case& c, const Buffers& b, float* running_mean, float* running_var) {
  BatchNormTrainingArgs args{.rows = c.rows,
                             .channels = c.channels,
                             .dtype = c.dtype,
                             .x = b.x,
                             .residual = b.residual,
                             .gamma = b.gamma,
                             .beta = b.beta,
                             .running_mean = running_mean,
                             .running_var = running_var,
                             .saved_mean = b.mean,
                             .saved_invstd = b.invstd,
                             .y = b.y,
                             .activation = c.relu ? Activation::relu : Activation::none};
  args.workspace = memory.make_workspace(batch_norm_training_workspace(args));
  memory.run([&](auto exec) { batch_norm_training(args, exec); });
}

/// Scale of a variance and its root, of size 1 here: with one channel the naive loop can be exact by luck, so four roundings
/// are granted to a sum of squares in any case.
constexpr double kFewRoundings = 4;

class BatchNormTest : public KernelTest {};

TEST_P(BatchNormTest, TrainingForward) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(::testing::PrintToString(c));
    CaseMemory memory(GetParam());
    const Inputs in = inputs_of(c);
    const Buffers b = upload(memory, c, in);
    const std::vector<float> before = random_floats(c.channels, 6, 0.1f, 1);
    float *running_mean = memory.put(before), *running_var = memory.put(before);
    train(memory, c, b, running_mean, running_var);

    const auto exact = problem_of<double>(c, in);
    const auto naive = problem_of<float>(c, in);
    const auto s = batch_norm_statistics(exact);
    const auto s_naive = batch_norm_statistics(naive);
    expect_elements_close(get_elements(memory, b.y, c.rows * c.channels, c.dtype), batch_norm_apply(exact, s),
                          batch_norm_apply(naive, s_naive), c.dtype);
    const double terms =
        std::abs(*std::max_element(in.x.begin(), in.x.end(), [](float v, float w) { return std::abs(v) < std::abs(w); }));
    expect_close(memory.get(b.mean, c.channels), s.mean, s_naive.mean, terms);
    const auto invstd = [](auto variance) {
      for (auto& v : variance) v = 1 / std::sqrt(v + decltype(+v)(1e-5));
      return variance;
    };
    expect_close(memory.get(b.invstd, c.channels), invstd(s.variance), invstd(s_naive.variance), kFewRoundings);
    const auto running = [&](auto batch, double factor) {
      for (std::size_t i = 0; i < batch.size(); ++i)
        batch[i] = static_cast<decltype(+batch[i])>(0.9 * static_cast<double>(before[i]) +
                                                    0.1 * factor * static_cast<double>(batch[i]));
      return batch;
    };
    const double unbiased = static_cast<double>(c.rows) / std::max(1.0, static_cast<double>(c.rows - 1));
    expect_close(memory.get(running_mean, c.channels), running(s.mean, 1), running(s_naive.mean, 1), terms);
    expect_close(memory.get(running_var, c.channels), running(s.variance, unbiased), running(s_naive.variance, unbiased),
                 kFewRoundings);
  }
}

TEST_P(BatchNormTest, Inference) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(::testing::PrintToString(c));
    CaseMemory memory(GetParam());
    const Inputs in = inputs_of(c);
    const Buffers b = upload(memory, c, in);
    std::vector<float> mean = random_floats(c.channels, 7), variance = random_floats(c.channels, 8, 0.2f, 2);
    for (float& v : mean) v += c.offset;
    BatchNormInferenceArgs args{.rows = c.rows,
                                .channels = c.channels,
                                .dtype = c.dtype,
                                .x = b.x,
                                .residual = b.residual,
                                .gamma = b.gamma,
                                .beta = b.beta,
                                .running_mean = memory.put(mean),
                                .running_var = memory.put(variance),
                                .y = b.y,
                                .activation = c.relu ? Activation::relu : Activation::none};
    memory.run([&](auto exec) { batch_norm_inference(args, exec); });
    const auto exact = batch_norm_apply(problem_of<double>(c, in), {to_double(mean), to_double(variance)});
    const auto naive = batch_norm_apply(problem_of<float>(c, in), {mean, variance});
    expect_elements_close(get_elements(memory, b.y, c.rows * c.channels, c.dtype), exact, naive, c.dtype);
  }
}

TEST_P(BatchNormTest, Backward) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(::testing::PrintToString(c));
    if (c.rows < 3) continue;  // with one or two rows d_x is what rounding leaves of 0
    CaseMemory memory(GetParam());
    const std::int64_t n = c.rows * c.channels;
    const Inputs in = inputs_of(c);
    const Buffers b = upload(memory, c, in);
    train(memory, c, b, nullptr, nullptr);
    const std::vector<float> before = random_floats(c.channels, 9);
    BatchNormBackwardArgs args{.rows = c.rows,
                               .channels = c.channels,
                               .dtype = c.dtype,
                               .d_y = b.d_y,
                               .x = b.x,
                               .y = c.mask_from_output ? b.y : nullptr,
                               .gamma = b.gamma,
                               .beta = b.beta,
                               .saved_mean = b.mean,
                               .saved_invstd = b.invstd,
                               .d_x = make_elements(memory, n, c.dtype, c.misalign),
                               .d_residual = c.residual ? make_elements(memory, n, c.dtype, c.misalign) : nullptr,
                               .d_gamma = memory.make_output<float>(c.channels),
                               .d_beta = memory.put(before),
                               .activation = c.relu ? Activation::relu : Activation::none};
    args.workspace = memory.make_workspace(batch_norm_backward_workspace(args));
    memory.run([&](auto exec) { batch_norm_backward(args, exec); });

    const auto exact = batch_norm_gradients(problem_of<double>(c, in), to_double(in.d_y));
    const auto naive = batch_norm_gradients(problem_of<float>(c, in), in.d_y);
    expect_elements_close(get_elements(memory, args.d_x, n, c.dtype), exact.x, naive.x, c.dtype);
    if (c.residual)
      expect_elements_close(get_elements(memory, args.d_residual, n, c.dtype), exact.residual, naive.residual, c.dtype);
    // Sums of `rows` terms: their size is that of the terms' sum, not of what is left of it.
    const double terms = static_cast<double>(c.rows);
    expect_close(memory.get(args.d_gamma, c.channels), exact.gamma, naive.gamma, terms);
    expect_close(memory.get(args.d_beta, c.channels), exact.beta, naive.beta, terms);

    args.parameter_mode = GradMode::accumulate;
    args.d_beta = memory.put(before);
    args.d_gamma = memory.put(before);
    args.d_x = nullptr;
    memory.run([&](auto exec) { batch_norm_backward(args, exec); });
    const auto plus = [&](auto values) {
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += before[i];
      return values;
    };
    expect_close(memory.get(args.d_gamma, c.channels), plus(exact.gamma), plus(naive.gamma), terms);
    expect_close(memory.get(args.d_beta, c.channels), plus(exact.beta), plus(naive.beta), terms);
  }
}

TEST_P(BatchNormTest, BackwardInPlace) {
  const Case c{70, 24, DType::f32, true, true, true};
  CaseMemory memory(GetParam());
  const Inputs in = inputs_of(c);
  const Buffers b = upload(memory, c, in);
  train(memory, c, b, nullptr, nullptr);
  const auto exact = batch_norm_gradients(problem_of<double>(c, in), to_double(in.d_y));
  const auto naive = batch_norm_gradients(problem_of<float>(c, in), in.d_y);
  float* shared = memory.put(in.d_y);
  BatchNormBackwardArgs args{.rows = c.rows,
                             .channels = c.channels,
                             .d_y = shared,
                             .x = b.x,
                             .y = b.y,
                             .gamma = b.gamma,
                             .beta = b.beta,
                             .saved_mean = b.mean,
                             .saved_invstd = b.invstd,
                             .d_x = memory.make_output<float>(c.rows * c.channels),
                             .d_residual = shared,
                             .parameter_mode = GradMode::skip,
                             .activation = Activation::relu};
  args.workspace = memory.make_workspace(batch_norm_backward_workspace(args));
  memory.run([&](auto exec) { batch_norm_backward(args, exec); });
  expect_close(memory.get(shared, c.rows * c.channels), exact.residual, naive.residual);
  expect_close(memory.get(static_cast<float*>(args.d_x), c.rows * c.channels), exact.x, naive.x);

  args.d_y = args.d_x = memory.put(in.d_y);
  args.d_residual = nullptr;
  memory.run([&](auto exec) { batch_norm_backward(args, exec); });
  expect_close(memory.get(static_cast<float*>(args.d_x), c.rows * c.channels), exact.x, naive.x);
}

TEST_P(BatchNormTest, NoRowsAndConstantChannels) {
  CaseMemory memory(GetParam());
  const Case empty{0, 5};
  float *mean = memory.put(random_floats(5, 1)), *var = memory.put(random_floats(5, 2));
  train(memory, empty, upload(memory, empty, inputs_of(empty)), mean, var);
  EXPECT_EQ(memory.get(mean, 5), random_floats(5, 1));
  EXPECT_EQ(memory.get(var, 5), random_floats(5, 2));

  const Case c{200, 4};
  Inputs in = inputs_of(c);
  std::fill(in.x.begin(), in.x.end(), 12345.678f);
  const Buffers b = upload(memory, c, in);
  train(memory, c, b, nullptr, nullptr);
  EXPECT_EQ(memory.get(b.mean, 4), std::vector<float>(4, 12345.678f));
  EXPECT_EQ(memory.get(b.invstd, 4), std::vector<float>(4, static_cast<float>(1 / std::sqrt(static_cast<double>(1e-5f)))));
  const std::vector<float> y = memory.get(static_cast<float*>(b.y), 800);
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], in.beta[i % 4]);
}

SWATH_KERNEL_PLACES(BatchNormTest);

#if defined(_OPENMP)
TEST(BatchNormThreads, ResultsDoNotDependOnTheirNumber) {
  const int threads = omp_get_max_threads();
  const Case c{3000, 20, DType::f32, true, true, true};
  const Inputs in = inputs_of(c);
  std::vector<std::vector<float>> first;
  for (const int count : {1, 2, 3}) {
    omp_set_num_threads(count);
    CaseMemory memory(Place::cpu);
    const Buffers b = upload(memory, c, in);
    train(memory, c, b, nullptr, nullptr);
    const std::int64_t n = c.rows * c.channels;
    float *d_x = memory.make_output<float>(n), *d_gamma = memory.make_output<float>(c.channels);
    float *d_residual = memory.make_output<float>(n), *d_beta = memory.make_output<float>(c.channels);
    BatchNormBackwardArgs args{.rows = c.rows,
                               .channels = c.channels,
                               .d_y = b.d_y,
                               .x = b.x,
                               .y = b.y,
                               .gamma = b.gamma,
                               .beta = b.beta,
                               .saved_mean = b.mean,
                               .saved_invstd = b.invstd,
                               .d_x = d_x,
                               .d_residual = d_residual,
                               .d_gamma = d_gamma,
                               .d_beta = d_beta,
                               .activation = Activation::relu};
    args.workspace = memory.make_workspace(batch_norm_backward_workspace(args));
    memory.run([&](auto exec) { batch_norm_backward(args, exec); });
    std::vector<std::vector<float>> results = {memory.get(b.mean, c.channels),           memory.get(b.invstd, c.channels),
                                               get_elements(memory, b.y, n, DType::f32), memory.get(d_x, n),
                                               memory.get(d_gamma, c.channels),          memory.get(d_beta, c.channels)};
    if (first.empty()) first = results;
    EXPECT_EQ(results, first) << count << " threads";
  }
  omp_set_num_threads(threads);
}
#endif

TEST(BatchNormReference, GradientsAreCentralDifferences) {
  for (const bool relu : {false, true}) {
    const Case c{7, 3, DType::f32, true, relu};
    const Inputs in = inputs_of(c);
    const auto p = problem_of<double>(c, in);
    const std::vector<double> d_y = to_double(in.d_y);
    const auto loss = [&](const BatchNormProblem<double>& q) {
      const std::vector<double> y = batch_norm_apply(q, batch_norm_statistics(q));
      double sum = 0;
      for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * d_y[i];
      return sum;
    };
    const auto with = [&](std::vector<double> BatchNormProblem<double>::*member) {
      return central_differences(p.*member, [&](const std::vector<double>& values) {
        auto q = p;
        q.*member = values;
        return loss(q);
      });
    };
    const auto g = batch_norm_gradients(p, d_y);
    EXPECT_LT(largest_error(g.x, with(&BatchNormProblem<double>::x)), 1e-7);
    EXPECT_LT(largest_error(g.residual, with(&BatchNormProblem<double>::residual)), 1e-7);
    EXPECT_LT(largest_error(g.gamma, with(&BatchNormProblem<double>::gamma)), 1e-7);
    EXPECT_LT(largest_error(g.beta, with(&BatchNormProblem<double>::beta)), 1e-7);
  }
}

}  // namespace
}  // namespace swath::kernels::test
