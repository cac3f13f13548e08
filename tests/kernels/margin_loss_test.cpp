// Cases of margin_loss. methods.md §6 "Margin".
#include "kernels/margin_loss.h"

#include <optional>

#include "tests/kernels/kernel_case.h"
#include "tests/reference/rows.h"

namespace swath::kernels::test {
namespace {

class MarginLossTest : public KernelTest {};

struct MarginCase {
  std::int64_t rows = 0, cols = 0, triplets = 0;
  std::int64_t capacity_beyond = 0;  // unused triplets behind those in use
  std::int64_t ld = 0;
  std::int64_t classes = 0;  // 0: one β for all
  float margin = 0.2f;
  float beta = 1.2f;
  std::optional<float> loss_scale = {};
  MarginBetaUpdate update = MarginBetaUpdate::trained;
  GradMode mode = GradMode::overwrite;
};

struct MarginInput {
  MarginCase c;
  std::vector<float> x, beta, d_x_start, d_beta_start;
  reference::Margin reference;
};

MarginInput make_input(const MarginCase& c) {
  MarginInput in{c, {}, {}, {}, {}, {}};
  in.x = reference::unit_rows(random_floats(c.rows * c.cols, 61), c.rows, c.cols);
  if (c.rows > 6) std::copy_n(in.x.begin(), c.cols, in.x.begin() + 6 * c.cols);  // two equal rows
  const std::vector<float> spread = random_floats(std::max<std::int64_t>(c.classes, 1), 62, -0.4f, 0.4f);
  for (const float s : spread) in.beta.push_back(c.beta + (c.classes > 0 ? s : 0.0f));
  if (c.classes > 2) in.beta[1] = 0.0f, in.beta[2] = -0.3f;
  const std::vector<std::int32_t> index = random_ints(c.triplets * 3, 63, static_cast<std::uint32_t>(c.rows));
  for (std::int64_t t = 0; t < c.triplets; ++t)
    in.reference.triplets.push_back({index[3 * t], index[3 * t + 1], index[3 * t + 2]});
  if (c.classes > 0) in.reference.row_class = random_ints(c.rows, 64, static_cast<std::uint32_t>(c.classes));
  in.reference.cols = c.cols;
  in.reference.margin = c.margin;
  in.reference.nu = 0.1f;
  in.reference.beta_fixed = c.update == MarginBetaUpdate::fixed;
  in.d_x_start = random_floats(c.rows * c.cols, 65);
  in.d_beta_start = random_floats(static_cast<std::int64_t>(in.beta.size()), 66);
  return in;
}

struct MarginOutput {
  float loss = 0, active = 0;
  std::vector<float> d_x, d_beta;
};

std::vector<float> spread_rows(const std::vector<float>& x, const MarginCase& c) {
  std::vector<float> wide(static_cast<std::size_t>(c.rows * std::max(c.ld, c.cols)), NAN);
  for (std::int64_t i = 0; i < c.rows; ++i)
    std::copy_n(x.begin() + i * c.cols, c.cols, wide.begin() + i * std::max(c.ld, c.cols));
  return wide;
}

MarginOutput run(Place place, const MarginInput& in) {
  const MarginCase& c = in.c;
  CaseMemory memory(place);
  const std::int64_t capacity = c.triplets + c.capacity_beyond;
  std::vector<std::int32_t> flat;
  for (const auto& t : in.reference.triplets) flat.insert(flat.end(), t.begin(), t.end());
  flat.resize(static_cast<std::size_t>(capacity * 3), -1);
  float* loss = memory.make_output<float>(1);
  float* active = memory.make_output<float>(1);
  float* d_x = memory.put(c.mode == GradMode::overwrite ? std::vector<float>(in.d_x_start.size(), NAN) : in.d_x_start);
  float* d_beta = memory.put(in.d_beta_start);
  MarginLossArgs args{.x = memory.put(spread_rows(in.x, c)),
                      .row_class = c.classes > 0 ? memory.put(in.reference.row_class) : nullptr,
                      .triplets = memory.put(flat),
                      .triplet_count = c.capacity_beyond > 0 ? memory.put_one(static_cast<std::int32_t>(c.triplets)) : nullptr,
                      .beta = memory.put(in.beta),
                      .loss_scale = c.loss_scale ? memory.put_one(*c.loss_scale) : nullptr,
                      .loss = loss,
                      .active = active,
                      .d_x = d_x,
                      .d_beta = d_beta,
                      .rows = c.rows,
                      .cols = c.cols,
                      .x_ld = std::max(c.ld, c.cols),
                      .d_x_ld = c.cols,
                      .capacity = capacity,
                      .classes = c.classes,
                      .margin = c.margin,
                      .beta_kind = c.classes > 0 ? MarginBeta::per_class : MarginBeta::scalar,
                      .beta_update = c.update,
                      .d_x_mode = c.mode,
                      .d_beta_mode = c.mode};
  args.workspace = memory.make_workspace(margin_loss_workspace(args));
  memory.run([&](auto exec) { margin_loss(args, exec); });
  return {memory.get_one(loss), memory.get_one(active), memory.get(d_x, c.rows * c.cols),
          memory.get(d_beta, static_cast<std::int64_t>(in.beta.size()))};
}

/// The gradient by the chain rule, triplet by triplet; d_x in front, d_beta behind.
template <class T>
std::vector<T> naive_gradient(const MarginInput& in) {
  const reference::Margin& m = in.reference;
  const std::vector<T> x(in.x.begin(), in.x.end());
  std::vector<T> gradient(x.size() + in.beta.size(), T(0));
  T* d_beta = gradient.data() + x.size();
  int active = 0;
  reference::margin_loss<double>(m, to_double(in.x), to_double(in.beta), &active);
  if (active == 0) return gradient;
  const T scale = T(in.c.loss_scale.value_or(1.0f)) / T(active);
  const auto side = [&](std::int64_t a, std::int64_t b, T beta, T direction, T* d_b) {
    T squares = 0;
    for (std::int64_t k = 0; k < m.cols; ++k)
      squares += (x[a * m.cols + k] - x[b * m.cols + k]) * (x[a * m.cols + k] - x[b * m.cols + k]);
    const T d = std::sqrt(squares + T(1e-8));
    if (!(direction * (d - beta) + T(m.margin) > 0)) return;
    for (std::int64_t k = 0; k < m.cols; ++k) {
      const T g = scale * direction * (x[a * m.cols + k] - x[b * m.cols + k]) / d;
      gradient[a * m.cols + k] += g;
      gradient[b * m.cols + k] -= g;
    }
    *d_b -= m.beta_fixed ? T(0) : direction * scale;
  };
  const auto sign = [](T v) { return T(v > 0) - T(v < 0); };
  for (const auto& t : m.triplets) {
    const std::size_t b = m.row_class.empty() ? 0 : static_cast<std::size_t>(m.row_class[t[0]]);
    side(t[0], t[1], T(in.beta[b]), T(1), d_beta + b);
    side(t[0], t[2], T(in.beta[b]), T(-1), d_beta + b);
    if (!m.row_class.empty() && !m.beta_fixed) d_beta[b] += scale * T(m.nu) * sign(T(in.beta[b]));
  }
  if (m.row_class.empty() && !m.beta_fixed) d_beta[0] += scale * T(m.nu) * sign(T(in.beta[0]));
  return gradient;
}

void expect_gradient(const MarginInput& in, const MarginOutput& got, std::vector<double> expected) {
  std::vector<float> naive = naive_gradient<float>(in), start = in.d_x_start, all = got.d_x;
  start.insert(start.end(), in.d_beta_start.begin(), in.d_beta_start.end());
  all.insert(all.end(), got.d_beta.begin(), got.d_beta.end());
  for (std::size_t k = 0; k < start.size() && in.c.mode == GradMode::accumulate; ++k)
    expected[k] += start[k], naive[k] += start[k];
  const auto split = static_cast<std::ptrdiff_t>(in.x.size());
  expect_close(got.d_x, {expected.begin(), expected.begin() + split}, {naive.begin(), naive.begin() + split});
  expect_close(got.d_beta, {expected.begin() + split, expected.end()}, {naive.begin() + split, naive.end()});
}

void check(Place place, const MarginCase& c) {
  SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.cols << ", " << c.triplets << " triplets, " << c.classes
                                    << " classes");
  const MarginInput in = make_input(c);
  const MarginOutput got = run(place, in);
  int active = 0;
  const double loss = reference::margin_loss(in.reference, to_double(in.x), to_double(in.beta), &active);
  expect_close({got.loss}, {loss}, {reference::margin_loss(in.reference, in.x, in.beta)});
  EXPECT_EQ(got.active, static_cast<float>(active));
  if (c.mode == GradMode::skip) {
    EXPECT_EQ(got.d_x, in.d_x_start);
    EXPECT_EQ(got.d_beta, in.d_beta_start);
  } else {
    expect_gradient(in, got, naive_gradient<double>(in));
  }
}

TEST_P(MarginLossTest, SizesOfRowsColumnsAndTriplets) {
  for (const MarginCase& c : std::vector<MarginCase>{{.rows = 0, .cols = 8, .triplets = 0},
                                                     {.rows = 1, .cols = 1, .triplets = 1},
                                                     {.rows = 31, .cols = 3, .triplets = 31},
                                                     {.rows = 32, .cols = 32, .triplets = 32},
                                                     {.rows = 33, .cols = 33, .triplets = 33, .ld = 40},
                                                     {.rows = 12, .cols = 512, .triplets = 12, .capacity_beyond = 5},
                                                     {.rows = 9, .cols = 513, .triplets = 127},
                                                     {.rows = 9, .cols = 516, .triplets = 128, .ld = 520},
                                                     {.rows = 5, .cols = 127, .triplets = 129},
                                                     {.rows = 7, .cols = 130, .triplets = 3, .ld = 131},
                                                     {.rows = 200, .cols = 64, .triplets = 1500, .capacity_beyond = 36}}) {
    check(GetParam(), c);
  }
}

TEST_P(MarginLossTest, BetaPerClassFixedBetaScaleAndModes) {
  for (const std::int64_t classes : {0, 1, 5, 256}) {
    for (const MarginBetaUpdate update : {MarginBetaUpdate::trained, MarginBetaUpdate::fixed}) {
      for (const GradMode mode : {GradMode::skip, GradMode::overwrite, GradMode::accumulate}) {
        check(GetParam(), {.rows = 40,
                           .cols = 24,
                           .triplets = 60,
                           .capacity_beyond = 1,
                           .classes = classes,
                           .loss_scale = 64.0f,
                           .update = update,
                           .mode = mode});
      }
    }
  }
  check(GetParam(), {.rows = 40, .cols = 24, .triplets = 60, .beta = -0.5f});
  check(GetParam(), {.rows = 40, .cols = 24, .triplets = 60, .beta = 0.0f});
}

TEST_P(MarginLossTest, NothingActiveGivesZero) {
  for (const std::int64_t classes : {0, 3}) {
    const MarginOutput got =
        run(GetParam(), make_input({.rows = 20, .cols = 8, .triplets = 20, .classes = classes, .margin = -10.0f}));
    EXPECT_EQ(got.loss, 0.0f);
    EXPECT_EQ(got.active, 0.0f);
    EXPECT_EQ(got.d_x, std::vector<float>(20 * 8, 0.0f));
    EXPECT_EQ(got.d_beta, std::vector<float>(classes > 0 ? 3 : 1, 0.0f));
  }
}

TEST_P(MarginLossTest, ValuesThatAreNotFiniteReachTheLoss) {
  for (const float bad : {NAN, INFINITY}) {
    MarginInput row = make_input({.rows = 8, .cols = 4, .triplets = 20});
    row.x[5] = bad;
    EXPECT_FALSE(std::isfinite(run(GetParam(), row).loss)) << bad;
    MarginInput boundary = make_input({.rows = 8, .cols = 4, .triplets = 20});
    boundary.beta[0] = bad;
    EXPECT_FALSE(std::isfinite(run(GetParam(), boundary).loss)) << bad;
  }
}

TEST_P(MarginLossTest, GradientMatchesCentralDifferences) {
  for (const std::int64_t classes : {0, 4}) {
    MarginInput in = make_input({.rows = 10, .cols = 9, .triplets = 25, .classes = classes});
    if (classes > 0) in.beta = {1.1f, 1.3f, -0.2f, 0.9f};
    std::vector<double> point = to_double(in.x);
    point.insert(point.end(), in.beta.begin(), in.beta.end());
    const auto split = static_cast<std::ptrdiff_t>(in.x.size());
    const auto value = [&](const std::vector<double>& v) {
      return reference::margin_loss<double>(in.reference, {v.begin(), v.begin() + split}, {v.begin() + split, v.end()});
    };
    expect_gradient(in, run(GetParam(), in), central_differences(point, value, 1e-6));
  }
}

SWATH_KERNEL_PLACES(MarginLossTest);

}  // namespace
}  // namespace swath::kernels::test
