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

enum class Extra { none, residual, shortcut };

struct Case {
  std::int64_t rows = 0, channels = 0;
  DType dtype = DType::f32;
  Extra extra = Extra::none;
  bool relu = false, mask = false;  // mask: ReLU's bits are stored; needed with ReLU beside a residual or a shortcut
  bool two_gradients = false;
  float offset = 0;  // added to every x
  std::size_t misalign = 0;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  const char* const extra[] = {"", " residual", " shortcut"};
  return out << c.rows << "x" << c.channels << " " << name_of(c.dtype) << extra[static_cast<int>(c.extra)]
             << (c.relu ? " relu" : "") << (c.mask ? " mask" : "") << (c.two_gradients ? " two gradients" : "") << " offset "
             << c.offset << " misaligned by " << c.misalign;
}

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t rows : {1, 2, 31, 32, 33, 65}) list.push_back({rows, 8, dtype, Extra::residual, true, true});
    for (const std::int64_t channels : {1, 3, 12, 31, 64, 65}) {
      list.push_back({37, channels, dtype, Extra::none, false, false});
      list.push_back({37, channels, dtype, Extra::none, true, false, true});
      list.push_back({37, channels, dtype, Extra::none, true, true});
      list.push_back({37, channels, dtype, Extra::residual, true, true, true});
      list.push_back({37, channels, dtype, Extra::residual, false, false, true});
      list.push_back({37, channels, dtype, Extra::shortcut, true, true, true});
      list.push_back({37, channels, dtype, Extra::shortcut, false, false});
    }
    list.push_back({18, 2048, dtype, Extra::residual, true, true});
    list.push_back({18, 200, dtype, Extra::shortcut, true, true});
    list.push_back({1300, 8, dtype, Extra::none, true, false});
    list.push_back({1300, 72, dtype, Extra::shortcut, true, true, true});
    list.push_back({50, 64, dtype, Extra::residual, true, true, true, 0, 1});
    list.push_back({50, 64, dtype, Extra::shortcut, true, true, false, 0, 1});
  }
  // Threads with several rows, and with more rows than are under way at once; more partial sums than are read at once.
  list.push_back({8700, 64, DType::bf16, Extra::none, true, false});
  list.push_back({130, 8501, DType::f32, Extra::residual, true, true});
  list.push_back({450, 8512, DType::bf16, Extra::residual, true, true, true});
  list.push_back({300, 12, DType::f32, Extra::none, true, true, false, 1000});
  list.push_back({300, 64, DType::f32, Extra::residual, true, true, false, -5000});
  return list;
}

struct Inputs {
  std::vector<float> x, residual, shortcut, gamma, beta, shortcut_gamma, shortcut_beta, d_y, d_y_second;
  std::vector<float> d_sum;  // d_y, or the sum of both in the activations' type
};

Inputs inputs_of(const Case& c) {
  const std::int64_t n = c.rows * c.channels;
  Inputs in;
  in.x = random_floats(n, 1, -2, 3);
  in.gamma = random_floats(c.channels, 2, 0.5f, 1.5f);
  in.beta = random_floats(c.channels, 3, -0.5f, 0.5f);
  in.d_sum = in.d_y = rounded(random_floats(n, 4), c.dtype);
  for (float& v : in.x) v += c.offset;
  in.x = rounded(in.x, c.dtype);
  if (c.extra == Extra::residual) in.residual = rounded(random_floats(n, 5), c.dtype);
  if (c.extra == Extra::shortcut) {
    in.shortcut = rounded(random_floats(n, 15, -1, 4), c.dtype);
    in.shortcut_gamma = random_floats(c.channels, 16, 0.5f, 1.5f);
    in.shortcut_beta = random_floats(c.channels, 17, -0.5f, 0.5f);
  }
  if (c.two_gradients) {
    in.d_y_second = rounded(random_floats(n, 18), c.dtype);
    for (std::size_t i = 0; i < in.d_sum.size(); ++i) in.d_sum[i] += in.d_y_second[i];
    in.d_sum = rounded(in.d_sum, c.dtype);
  }
  return in;
}

template <class Real>
BatchNormProblem<Real> problem_of(const Case& c, const Inputs& in) {
  const auto real = [](const std::vector<float>& v) { return std::vector<Real>(v.begin(), v.end()); };
  return {c.rows,
          c.channels,
          real(in.x),
          real(in.residual),
          real(in.gamma),
          real(in.beta),
          real(in.shortcut),
          real(in.shortcut_gamma),
          real(in.shortcut_beta),
          c.relu};
}

/// The device side of one case.
struct Buffers {
  BatchNormApplyArgs apply;
  float *mean, *invstd, *shortcut_mean = nullptr, *shortcut_invstd = nullptr;
  std::uint32_t* counters;
  void* workspace;
  const void *d_y, *d_y_second = nullptr;
};

Buffers upload(CaseMemory& memory, const Case& c, const Inputs& in) {
  Buffers b{};
  b.mean = memory.make_output<float>(c.channels);
  b.invstd = memory.make_output<float>(c.channels);
  b.counters = memory.put(std::vector<std::uint32_t>(static_cast<std::size_t>(batch_norm_counters(c.channels)), 0));
  b.workspace = memory.make_workspace(batch_norm_workspace(c.rows, c.channels));
  b.d_y = put_elements(memory, in.d_y, c.dtype, c.misalign);
  if (c.two_gradients) b.d_y_second = put_elements(memory, in.d_y_second, c.dtype, c.misalign);
  b.apply = {
      .rows = c.rows,
      .channels = c.channels,
      .dtype = c.dtype,
      .main = {put_elements(memory, in.x, c.dtype, c.misalign), memory.put(in.gamma), memory.put(in.beta), b.mean, b.invstd},
      .y = make_elements(memory, c.rows * c.channels, c.dtype, c.misalign),
      .mask = c.mask ? memory.make_output<std::uint8_t>(c.rows * ((c.channels + 7) / 8)) : nullptr,
      .activation = c.relu ? Activation::relu : Activation::none};
  if (c.extra == Extra::residual) b.apply.residual = put_elements(memory, in.residual, c.dtype, c.misalign);
  if (c.extra == Extra::shortcut) {
    b.shortcut_mean = memory.make_output<float>(c.channels);
    b.shortcut_invstd = memory.make_output<float>(c.channels);
    b.apply.shortcut = {put_elements(memory, in.shortcut, c.dtype, c.misalign), memory.put(in.shortcut_gamma),
                        memory.put(in.shortcut_beta), b.shortcut_mean, b.shortcut_invstd};
  }
  return b;
}

void statistics(CaseMemory& memory, const Case& c, const Buffers& b, const void* x, float* mean, float* invstd,
                float* running_mean, float* running_var) {
  const BatchNormStatisticsArgs args{.rows = c.rows,
                                     .channels = c.channels,
                                     .dtype = c.dtype,
                                     .x = x,
                                     .running_mean = running_mean,
                                     .running_var = running_var,
                                     .mean = mean,
                                     .invstd = invstd,
                                     .workspace = b.workspace,
                                     .counters = b.counters};
  memory.run([&](auto exec) { batch_norm_statistics(args, exec); });
}

void train(CaseMemory& memory, const Case& c, const Buffers& b, float* running_mean, float* running_var) {
  statistics(memory, c, b, b.apply.main.x, b.mean, b.invstd, running_mean, running_var);
  if (c.extra == Extra::shortcut)
    statistics(memory, c, b, b.apply.shortcut.x, b.shortcut_mean, b.shortcut_invstd, nullptr, nullptr);
  memory.run([&](auto exec) { batch_norm_apply(b.apply, exec); });
  const auto counters = memory.get(b.counters, batch_norm_counters(c.channels));
  EXPECT_EQ(counters, std::vector<std::uint32_t>(counters.size(), 0));
}

/// The backward call of a case whose forward pass ran, with new outputs.
BatchNormBackwardArgs backward_args(CaseMemory& memory, const Case& c, const Buffers& b) {
  const std::int64_t n = c.rows * c.channels;
  BatchNormBackwardArgs args{.rows = c.rows,
                             .channels = c.channels,
                             .dtype = c.dtype,
                             .d_y = b.d_y,
                             .d_y_second = b.d_y_second,
                             .mask = b.apply.mask,
                             .main = b.apply.main,
                             .shortcut = b.apply.shortcut,
                             .d_main = {.d_x = make_elements(memory, n, c.dtype, c.misalign),
                                        .d_gamma = memory.make_output<float>(c.channels),
                                        .d_beta = memory.make_output<float>(c.channels)},
                             .activation = b.apply.activation,
                             .workspace = b.workspace,
                             .counters = b.counters};
  if (c.extra == Extra::residual) args.d_residual = make_elements(memory, n, c.dtype, c.misalign);
  if (c.extra == Extra::shortcut)
    args.d_shortcut = {.d_x = make_elements(memory, n, c.dtype, c.misalign),
                       .d_gamma = memory.make_output<float>(c.channels),
                       .d_beta = memory.make_output<float>(c.channels)};
  return args;
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
    const std::vector<double> y = batch_norm_forward(exact);
    const std::vector<float> got = get_elements(memory, b.apply.y, c.rows * c.channels, c.dtype);
    expect_elements_close(got, y, batch_norm_forward(naive), c.dtype);
    if (c.mask) {
      const std::int64_t bytes = (c.channels + 7) / 8;
      std::vector<std::uint8_t> wanted(static_cast<std::size_t>(c.rows * bytes), 0);
      for (std::int64_t i = 0; i < c.rows * c.channels; ++i)
        if (got[static_cast<std::size_t>(i)] > 0)
          wanted[static_cast<std::size_t>(i / c.channels * bytes + i % c.channels / 8)] |=
              static_cast<std::uint8_t>(1u << (i % c.channels % 8));
      EXPECT_EQ(memory.get(b.apply.mask, c.rows * bytes), wanted);
    }
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
    Buffers b = upload(memory, c, in);
    std::vector<float> mean = random_floats(c.channels, 7), variance = random_floats(c.channels, 8, 0.2f, 2);
    for (float& v : mean) v += c.offset;
    b.apply.main.mean = memory.put(mean);
    b.apply.main.spread = memory.put(variance);
    b.apply.mask = nullptr;
    b.apply.spread = Spread::variance;
    auto exact = problem_of<double>(c, in);
    auto naive = problem_of<float>(c, in);
    if (c.extra == Extra::shortcut) {
      const std::vector<float> mean2 = random_floats(c.channels, 27), variance2 = random_floats(c.channels, 28, 0.2f, 2);
      b.apply.shortcut.mean = memory.put(mean2);
      b.apply.shortcut.spread = memory.put(variance2);
      exact.residual = batch_norm_apply(batch_norm_shortcut(exact), {to_double(mean2), to_double(variance2)});
      naive.residual = batch_norm_apply(batch_norm_shortcut(naive), {mean2, variance2});
    }
    memory.run([&](auto exec) { batch_norm_apply(b.apply, exec); });
    expect_elements_close(get_elements(memory, b.apply.y, c.rows * c.channels, c.dtype),
                          batch_norm_apply(exact, {to_double(mean), to_double(variance)}),
                          batch_norm_apply(naive, {mean, variance}), c.dtype);
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
    BatchNormBackwardArgs args = backward_args(memory, c, b);
    memory.run([&](auto exec) { batch_norm_backward(args, exec); });

    const auto exact = batch_norm_gradients(problem_of<double>(c, in), to_double(in.d_sum));
    const auto naive = batch_norm_gradients(problem_of<float>(c, in), in.d_sum);
    expect_elements_close(get_elements(memory, args.d_main.d_x, n, c.dtype), exact.x, naive.x, c.dtype);
    if (c.extra == Extra::residual)
      expect_elements_close(get_elements(memory, args.d_residual, n, c.dtype), exact.residual, naive.residual, c.dtype);
    // Sums of `rows` terms: their size is that of the terms' sum, not of what is left of it.
    const double terms = static_cast<double>(c.rows);
    expect_close(memory.get(args.d_main.d_gamma, c.channels), exact.gamma, naive.gamma, terms);
    expect_close(memory.get(args.d_main.d_beta, c.channels), exact.beta, naive.beta, terms);
    if (c.extra == Extra::shortcut) {
      expect_elements_close(get_elements(memory, args.d_shortcut.d_x, n, c.dtype), exact.shortcut_x, naive.shortcut_x, c.dtype);
      expect_close(memory.get(args.d_shortcut.d_gamma, c.channels), exact.shortcut_gamma, naive.shortcut_gamma, terms);
      expect_close(memory.get(args.d_shortcut.d_beta, c.channels), exact.shortcut_beta, naive.shortcut_beta, terms);
    }

    args.d_main = {.d_x = nullptr, .d_gamma = memory.put(before), .d_beta = memory.put(before), .mode = GradMode::accumulate};
    args.d_shortcut = {.d_x = nullptr, .d_gamma = nullptr, .d_beta = nullptr, .mode = GradMode::skip};
    memory.run([&](auto exec) { batch_norm_backward(args, exec); });
    const auto plus = [&](auto values) {
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += before[i];
      return values;
    };
    expect_close(memory.get(args.d_main.d_gamma, c.channels), plus(exact.gamma), plus(naive.gamma), terms);
    expect_close(memory.get(args.d_main.d_beta, c.channels), plus(exact.beta), plus(naive.beta), terms);
  }
}

/// What a network does: the masked gradient takes over d_y, and d_x of the shortcut takes it over in turn.
TEST_P(BatchNormTest, BackwardInPlace) {
  for (const Extra extra : {Extra::none, Extra::residual, Extra::shortcut}) {
    const Case c{70, 24, DType::f32, extra, true, extra != Extra::none, extra != Extra::none};
    SCOPED_TRACE(::testing::PrintToString(c));
    CaseMemory memory(GetParam());
    const Inputs in = inputs_of(c);
    const Buffers b = upload(memory, c, in);
    train(memory, c, b, nullptr, nullptr);
    const auto exact = batch_norm_gradients(problem_of<double>(c, in), to_double(in.d_sum));
    const auto naive = batch_norm_gradients(problem_of<float>(c, in), in.d_sum);
    float* shared = memory.put(in.d_y);
    BatchNormBackwardArgs args = backward_args(memory, c, b);
    args.d_y = shared;
    args.d_residual = extra == Extra::none ? nullptr : shared;
    (extra == Extra::none ? args.d_main : args.d_shortcut).d_x = extra == Extra::residual ? nullptr : shared;
    memory.run([&](auto exec) { batch_norm_backward(args, exec); });
    const std::int64_t n = c.rows * c.channels;
    expect_close(memory.get(static_cast<float*>(args.d_main.d_x), n), exact.x, naive.x);
    if (extra == Extra::residual) expect_close(memory.get(shared, n), exact.residual, naive.residual);
    if (extra == Extra::shortcut) expect_close(memory.get(shared, n), exact.shortcut_x, naive.shortcut_x);
  }
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
  const std::vector<float> y = memory.get(static_cast<float*>(b.apply.y), 800);
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], in.beta[i % 4]);
}

SWATH_KERNEL_PLACES(BatchNormTest);

#if defined(_OPENMP)
TEST(BatchNormThreads, ResultsDoNotDependOnTheirNumber) {
  const int threads = omp_get_max_threads();
  const Case c{3000, 20, DType::f32, Extra::shortcut, true, true, true};
  const Inputs in = inputs_of(c);
  std::vector<std::vector<float>> first;
  for (const int count : {1, 2, 3}) {
    omp_set_num_threads(count);
    CaseMemory memory(Place::cpu);
    const Buffers b = upload(memory, c, in);
    train(memory, c, b, nullptr, nullptr);
    const std::int64_t n = c.rows * c.channels;
    const BatchNormBackwardArgs args = backward_args(memory, c, b);
    memory.run([&](auto exec) { batch_norm_backward(args, exec); });
    const std::vector<std::vector<float>> results = {memory.get(b.mean, c.channels),
                                                     memory.get(b.invstd, c.channels),
                                                     get_elements(memory, b.apply.y, n, DType::f32),
                                                     get_elements(memory, args.d_main.d_x, n, DType::f32),
                                                     get_elements(memory, args.d_shortcut.d_x, n, DType::f32),
                                                     memory.get(args.d_main.d_gamma, c.channels),
                                                     memory.get(args.d_shortcut.d_gamma, c.channels),
                                                     memory.get(args.d_main.d_beta, c.channels)};
    if (first.empty()) first = results;
    EXPECT_EQ(results, first) << count << " threads";
  }
  omp_set_num_threads(threads);
}
#endif

TEST(BatchNormReference, GradientsAreCentralDifferences) {
  for (const Extra extra : {Extra::residual, Extra::shortcut}) {
    for (const bool relu : {false, true}) {
      const Case c{7, 3, DType::f32, extra, relu};
      const Inputs in = inputs_of(c);
      const auto p = problem_of<double>(c, in);
      const std::vector<double> d_y = to_double(in.d_y);
      const auto loss = [&](const BatchNormProblem<double>& q) {
        const std::vector<double> y = batch_norm_forward(q);
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
      EXPECT_LT(largest_error(g.gamma, with(&BatchNormProblem<double>::gamma)), 1e-7);
      EXPECT_LT(largest_error(g.beta, with(&BatchNormProblem<double>::beta)), 1e-7);
      if (extra == Extra::residual) {
        EXPECT_LT(largest_error(g.residual, with(&BatchNormProblem<double>::residual)), 1e-7);
        continue;
      }
      EXPECT_LT(largest_error(g.shortcut_x, with(&BatchNormProblem<double>::shortcut_x)), 1e-7);
      EXPECT_LT(largest_error(g.shortcut_gamma, with(&BatchNormProblem<double>::shortcut_gamma)), 1e-7);
      EXPECT_LT(largest_error(g.shortcut_beta, with(&BatchNormProblem<double>::shortcut_beta)), 1e-7);
    }
  }
}

}  // namespace
}  // namespace swath::kernels::test
