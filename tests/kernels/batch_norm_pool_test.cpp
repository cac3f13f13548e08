// Batch normalisation with ReLU and max pooling, both ways, against tests/reference/batch_norm.h and pool.h.
#include "kernels/batch_norm_pool.h"

#include <limits>

#include "tests/kernels/element_case.h"
#include "tests/reference/batch_norm.h"
#include "tests/reference/pool.h"

namespace swath::kernels::test {
namespace {

struct Case {
  PoolGeometry geometry;
  DType dtype = DType::f32;
  bool two_gradients = false;
  std::size_t misalign = 0;
};

std::vector<Case> cases() {
  const std::vector<PoolGeometry> sizes = {
      {1, 2, 2, 1},          {2, 7, 9, 3},           {1, 8, 8, 64},           {2, 5, 6, 65},
      {1, 6, 6, 8, 2, 2, 0}, {1, 9, 7, 12, 3, 1, 1}, {1, 11, 11, 5, 5, 3, 2}, {3, 16, 16, 16},
      {2, 20, 20, 72}};
  std::vector<Case> list;
  for (const PoolGeometry& geometry : sizes)
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
      for (const bool two : {false, true}) list.push_back({geometry, dtype, two, 0});
  list.push_back({{1, 8, 8, 64}, DType::bf16, true, 1});
  return list;
}

struct Inputs {
  std::vector<float> x, gamma, beta, d_y, d_y_second, d_sum;
};

Inputs inputs_of(const Case& c) {
  const PoolGeometry& g = c.geometry;
  const std::int64_t n = g.rows() * g.channels, out = g.n * g.out_height() * g.out_width() * g.channels;
  Inputs in{rounded(random_floats(n, 31, -2, 3), c.dtype),
            random_floats(g.channels, 32, -1, 1.5f),
            random_floats(g.channels, 33, -0.5f, 0.5f),
            rounded(random_floats(out, 34), c.dtype),
            {},
            {}};
  in.d_sum = in.d_y;
  if (!c.two_gradients) return in;
  in.d_y_second = rounded(random_floats(out, 35), c.dtype);
  for (std::size_t i = 0; i < in.d_sum.size(); ++i) in.d_sum[i] += in.d_y_second[i];
  return in;
}

template <class Real>
reference::BatchNormProblem<Real> problem_of(const Case& c, const Inputs& in) {
  reference::BatchNormProblem<Real> p;
  p.rows = c.geometry.rows();
  p.channels = c.geometry.channels;
  p.x.assign(in.x.begin(), in.x.end());
  p.gamma.assign(in.gamma.begin(), in.gamma.end());
  p.beta.assign(in.beta.begin(), in.beta.end());
  p.relu = true;
  return p;
}

reference::MaxPooled pooled(const Case& c, const std::vector<double>& normalised) {
  const PoolGeometry& g = c.geometry;
  return reference::max_pool({g.n, g.height, g.width, g.channels, g.window, g.stride, g.pad}, normalised);
}

/// d_y at the pixels that the windows chose.
template <class Real>
std::vector<Real> unpooled(const reference::MaxPooled& chosen, const std::vector<float>& d_y, std::size_t pixels) {
  std::vector<Real> out(pixels, 0);
  for (std::size_t i = 0; i < d_y.size(); ++i) out[static_cast<std::size_t>(chosen.source[i])] += static_cast<Real>(d_y[i]);
  return out;
}

/// The device side of one case after its statistics.
BatchNormPoolArgs upload(CaseMemory& memory, const Case& c, const Inputs& in) {
  const PoolGeometry& g = c.geometry;
  const std::int64_t out = g.n * g.out_height() * g.out_width() * g.channels;
  float *mean = memory.make_output<float>(g.channels), *invstd = memory.make_output<float>(g.channels);
  const void* x = put_elements(memory, in.x, c.dtype, c.misalign);
  const BatchNormStatisticsArgs args{
      .rows = g.rows(),
      .channels = g.channels,
      .dtype = c.dtype,
      .x = x,
      .mean = mean,
      .invstd = invstd,
      .workspace = memory.make_workspace(batch_norm_workspace(g.rows(), g.channels)),
      .counters = memory.put(std::vector<std::uint32_t>(static_cast<std::size_t>(batch_norm_counters(g.channels)), 0))};
  memory.run([&](auto exec) { batch_norm_statistics(args, exec); });
  return {.geometry = g,
          .dtype = c.dtype,
          .main = {x, memory.put(in.gamma), memory.put(in.beta), mean, invstd},
          .y = make_elements(memory, out, c.dtype, c.misalign),
          .index = memory.make_output<std::uint8_t>(out)};
}

class BatchNormPoolTest : public KernelTest {};

TEST_P(BatchNormPoolTest, BothWays) {
  for (const Case& c : cases()) {
    const PoolGeometry& g = c.geometry;
    SCOPED_TRACE(::testing::Message() << g.n << "x" << g.height << "x" << g.width << "x" << g.channels << " "
                                      << name_of(c.dtype) << " window " << g.window << " two gradients " << c.two_gradients
                                      << " misaligned by " << c.misalign);
    CaseMemory memory(GetParam());
    const Inputs in = inputs_of(c);
    const BatchNormPoolArgs args = upload(memory, c, in);
    memory.run([&](auto exec) { batch_norm_pool(args, exec); });

    const auto exact = problem_of<double>(c, in);
    const auto naive = problem_of<float>(c, in);
    const std::vector<float> naive_normalised = batch_norm_forward(naive);
    const auto wanted = pooled(c, batch_norm_forward(exact));
    const auto wanted_naive = pooled(c, to_double(naive_normalised));
    const auto out = static_cast<std::int64_t>(wanted.y.size());
    expect_elements_close(get_elements(memory, args.y, out, c.dtype), wanted.y, to_float_vector(wanted_naive.y), c.dtype);
    // Where ReLU leaves nothing any pixel of the window may be named.
    const std::vector<std::uint8_t> index = memory.get(args.index, out);
    for (std::size_t i = 0; i < index.size(); ++i) {
      if (wanted.y[i] > 0) {
        EXPECT_EQ(static_cast<int>(index[i]), wanted.tap[i]) << i;
      }
    }

    BatchNormPoolArgs raw = args;
    raw.y = nullptr;
    raw.winner = make_elements(memory, out, c.dtype, c.misalign);
    raw.index = memory.make_output<std::uint8_t>(out);
    memory.run([&](auto exec) { batch_norm_pool(raw, exec); });
    const std::vector<float> winners = get_elements(memory, raw.winner, out, c.dtype);
    EXPECT_EQ(memory.get(raw.index, out), index);
    for (std::size_t i = 0; i < index.size(); ++i) {
      if (wanted.y[i] > 0) {
        EXPECT_EQ(winners[i], in.x[static_cast<std::size_t>(wanted.source[i])]) << i;
      }
    }

    BatchNormPoolBackwardArgs back{
        .geometry = g,
        .dtype = c.dtype,
        .d_y = put_elements(memory, in.d_y, c.dtype, c.misalign),
        .d_y_second = c.two_gradients ? put_elements(memory, in.d_y_second, c.dtype, c.misalign) : nullptr,
        .index = args.index,
        .main = args.main,
        .d_main = {.d_x = make_elements(memory, g.rows() * g.channels, c.dtype, c.misalign),
                   .d_gamma = memory.make_output<float>(g.channels),
                   .d_beta = memory.make_output<float>(g.channels)},
        .workspace = memory.make_workspace(batch_norm_pool_workspace(g)),
        .counters = memory.put(std::vector<std::uint32_t>(static_cast<std::size_t>(batch_norm_counters(g.channels)), 0))};
    memory.run([&](auto exec) { batch_norm_pool_backward(back, exec); });
    const auto gradients = batch_norm_gradients(exact, unpooled<double>(wanted, in.d_sum, in.x.size()));
    const auto naive_gradients = batch_norm_gradients(naive, unpooled<float>(wanted, in.d_sum, in.x.size()));
    expect_elements_close(get_elements(memory, back.d_main.d_x, g.rows() * g.channels, c.dtype), gradients.x, naive_gradients.x,
                          c.dtype);
    const double terms = static_cast<double>(g.rows());
    expect_close(memory.get(back.d_main.d_gamma, g.channels), gradients.gamma, naive_gradients.gamma, terms);
    expect_close(memory.get(back.d_main.d_beta, g.channels), gradients.beta, naive_gradients.beta, terms);

    // From known sums, of gradients that are masked already.
    std::vector<float> masked_gradient = in.d_sum;
    for (std::size_t i = 0; i < masked_gradient.size(); ++i)
      if (!(wanted.y[i] > 0)) masked_gradient[i] = 0;
    std::vector<float> known(gradients.gamma.begin(), gradients.gamma.end());
    known.insert(known.end(), gradients.beta.begin(), gradients.beta.end());
    BatchNormPoolBackwardArgs summed = back;
    summed.d_y = put_elements(memory, masked_gradient, c.dtype, c.misalign);
    summed.d_y_second = nullptr;
    summed.d_main.d_x = make_elements(memory, g.rows() * g.channels, c.dtype, c.misalign);
    summed.sums = memory.put(known);
    memory.run([&](auto exec) { batch_norm_pool_backward(summed, exec); });
    const auto of_rounded = batch_norm_gradients(exact, unpooled<double>(wanted, rounded(in.d_sum, c.dtype), in.x.size()));
    expect_elements_close(get_elements(memory, summed.d_main.d_x, g.rows() * g.channels, c.dtype), of_rounded.x,
                          naive_gradients.x, c.dtype);
    for (std::size_t i = 0; i < known.size() / 2; ++i) {
      EXPECT_NEAR(memory.get(summed.d_main.d_gamma, g.channels)[i], known[i], 1e-6 * (1 + std::abs(known[i])));
      EXPECT_EQ(memory.get(summed.d_main.d_beta, g.channels)[i], known[known.size() / 2 + i]);
    }

    const std::vector<float> before = random_floats(g.channels, 36);
    back.d_main = {.d_x = nullptr, .d_gamma = memory.put(before), .d_beta = memory.put(before), .mode = GradMode::accumulate};
    memory.run([&](auto exec) { batch_norm_pool_backward(back, exec); });
    auto sum = gradients.beta;
    auto naive_sum = naive_gradients.beta;
    for (std::size_t i = 0; i < before.size(); ++i) sum[i] += static_cast<double>(before[i]), naive_sum[i] += before[i];
    expect_close(memory.get(back.d_main.d_beta, g.channels), sum, naive_sum, terms);
  }
}

TEST_P(BatchNormPoolTest, Inference) {
  const Case c{{2, 7, 9, 20}, DType::f32};
  CaseMemory memory(GetParam());
  const Inputs in = inputs_of(c);
  BatchNormPoolArgs args = upload(memory, c, in);
  const std::vector<float> mean = random_floats(20, 37), variance = random_floats(20, 38, 0.2f, 2);
  args.main.mean = memory.put(mean);
  args.main.spread = memory.put(variance);
  args.spread = Spread::variance;
  args.index = nullptr;
  memory.run([&](auto exec) { batch_norm_pool(args, exec); });
  const auto wanted = pooled(c, batch_norm_apply(problem_of<double>(c, in), {to_double(mean), to_double(variance)}));
  const auto naive = pooled(c, to_double(batch_norm_apply(problem_of<float>(c, in), {mean, variance})));
  expect_close(memory.get(static_cast<float*>(args.y), static_cast<std::int64_t>(wanted.y.size())), wanted.y,
               to_float_vector(naive.y));
}

/// Forward arguments with which normalising changes nothing.
BatchNormPoolArgs plain_args(CaseMemory& memory, const PoolGeometry& g, DType dtype, const std::vector<float>& x) {
  const auto channels = static_cast<std::size_t>(g.channels);
  const std::vector<float> zero(channels, 0.0f), one(channels, 1.0f);
  const std::int64_t out = g.n * g.out_height() * g.out_width() * g.channels;
  return {.geometry = g,
          .dtype = dtype,
          .main = {put_elements(memory, x, dtype), memory.put(one), memory.put(zero), memory.put(zero), memory.put(one)},
          .y = make_elements(memory, out, dtype),
          .index = memory.make_output<std::uint8_t>(out)};
}

/// Small whole numbers, so that windows hold ties: the first of the largest is named, also where it is 0.
TEST_P(BatchNormPoolTest, TheFirstMaximumOfAWindowWins) {
  for (const PoolGeometry& g : {PoolGeometry{2, 5, 6, 65}, {3, 16, 16, 16}, {1, 11, 11, 5, 5, 3, 2}, {1, 7, 7, 4, 2, 3, 0}})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      SCOPED_TRACE(::testing::Message() << g.height << "x" << g.width << "x" << g.channels << " " << name_of(dtype));
      CaseMemory memory(GetParam());
      std::vector<float> x;
      for (const std::int32_t v : random_ints(g.rows() * g.channels, 11, 5)) x.push_back(static_cast<float>(v));
      const BatchNormPoolArgs args = plain_args(memory, g, dtype, x);
      memory.run([&](auto exec) { batch_norm_pool(args, exec); });
      const auto wanted = reference::max_pool({g.n, g.height, g.width, g.channels, g.window, g.stride, g.pad}, to_double(x));
      const auto out = static_cast<std::int64_t>(wanted.y.size());
      EXPECT_EQ(to_double(get_elements(memory, args.y, out, dtype)), wanted.y);
      const std::vector<std::uint8_t> index = memory.get(args.index, out);
      EXPECT_EQ(std::vector<int>(index.begin(), index.end()), wanted.tap);
    }
}

TEST_P(BatchNormPoolTest, NanWinsOverAllNumbers) {
  CaseMemory memory(GetParam());
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const BatchNormPoolArgs args =
      plain_args(memory, {1, 2, 4, 1, 2, 2, 0}, DType::f32, {1, nan, -infinity, -infinity, 5, nan, -infinity, -infinity});
  memory.run([&](auto exec) { batch_norm_pool(args, exec); });
  const std::vector<float> y = memory.get(static_cast<float*>(args.y), 2);
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], 0);
  EXPECT_EQ(memory.get(args.index, 2), (std::vector<std::uint8_t>{1, 0}));
}

TEST_P(BatchNormPoolTest, NoImages) {
  CaseMemory memory(GetParam());
  const PoolGeometry none{0, 8, 8, 5};
  const BatchNormPoolBackwardArgs back{
      .geometry = none,
      .main = {nullptr, memory.put(random_floats(5, 1)), memory.put(random_floats(5, 2)), memory.put(random_floats(5, 3)),
               memory.put(random_floats(5, 4))},
      .d_main = {.d_gamma = memory.make_output<float>(5), .d_beta = memory.make_output<float>(5)},
      .workspace = memory.make_workspace(batch_norm_pool_workspace(none)),
      .counters = memory.put(std::vector<std::uint32_t>(1, 0))};
  memory.run([&](auto exec) { batch_norm_pool({.geometry = none}, exec); });
  memory.run([&](auto exec) { batch_norm_pool_backward(back, exec); });
  EXPECT_EQ(memory.get(back.d_main.d_gamma, 5), std::vector<float>(5, 0));
  EXPECT_EQ(memory.get(back.d_main.d_beta, 5), std::vector<float>(5, 0));
}

SWATH_KERNEL_PLACES(BatchNormPoolTest);

}  // namespace
}  // namespace swath::kernels::test
