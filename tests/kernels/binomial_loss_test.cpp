// Cases of binomial_loss. methods.md §6 "Binomial deviance, boosted".
#include "kernels/binomial_loss.h"

#include <optional>

#include "tests/kernels/kernel_case.h"
#include "tests/reference/binomial.h"
#include "tests/reference/rows.h"

namespace swath::kernels::test {
namespace {

class BinomialLossTest : public KernelTest {};

struct BinomialCase {
  std::int64_t rows = 0;
  std::vector<std::int64_t> widths{5, 7, 12};
  std::uint32_t classes = 4;
  std::int64_t unused = 0;     // rows behind those in use
  std::int64_t pad = 0;        // columns between two rows
  std::size_t misalign = 0;    // elements
  std::int64_t skip_each = 0;  // every n-th row has class −1; 0: none
  float beta = 0.5f, cost = 25.0f, alpha = 2.0f;
  Boosting boosting = Boosting::eta;
  BinomialBetaUpdate update = BinomialBetaUpdate::trained;
  std::optional<float> loss_scale = {};
  GradMode mode = GradMode::overwrite;
};

struct BinomialInput {
  BinomialCase c;
  reference::Binomial reference;
  std::vector<float> x;  // rows in use × columns
  std::vector<float> d_x_start;
  float d_beta_start = 0.75f;
};

/// Every learner's part of every row with length 1.
std::vector<float> unit_parts(std::vector<float> x, std::int64_t rows, const std::vector<std::int64_t>& widths) {
  std::int64_t cols = 0, begin = 0;
  for (const std::int64_t width : widths) cols += width;
  for (const std::int64_t width : widths) {
    for (std::int64_t i = 0; i < rows; ++i) {
      float* part = x.data() + i * cols + begin;
      const std::vector<float> unit = reference::unit_rows(std::vector<float>(part, part + width), 1, width);
      std::copy(unit.begin(), unit.end(), part);
    }
    begin += width;
  }
  return x;
}

BinomialInput make_input(const BinomialCase& c) {
  BinomialInput in{c, {}, {}, {}};
  reference::Binomial& b = in.reference;
  b.widths = c.widths;
  b.row_class = random_ints(c.rows, 71, c.classes);
  for (std::int64_t i = 0; c.skip_each > 0 && i < c.rows; i += c.skip_each) b.row_class[i] = -1;
  b.alpha = c.alpha;
  b.cost = c.cost;
  b.nu = 0.1f;
  b.eta_style = c.boosting == Boosting::eta;
  b.beta_fixed = c.update == BinomialBetaUpdate::fixed;
  const std::int64_t cols = b.cols();
  in.x = unit_parts(random_floats(c.rows * cols, 72), c.rows, c.widths);
  if (c.rows > 6) {  // two equal rows, two opposite ones: the scores' extremes
    std::copy_n(in.x.begin(), cols, in.x.begin() + 3 * cols);
    std::transform(in.x.begin(), in.x.begin() + cols, in.x.begin() + 5 * cols, [](float v) { return -v; });
  }
  in.d_x_start = random_floats((c.rows + c.unused) * cols, 73);
  return in;
}

struct BinomialOutput {
  float loss = 0, d_beta = 0;
  std::vector<float> d_x;  // (rows + unused) × columns
};

BinomialOutput run(Place place, const BinomialInput& in) {
  const BinomialCase& c = in.c;
  CaseMemory memory(place);
  const std::int64_t cols = in.reference.cols(), rows = c.rows + c.unused, ld = cols + c.pad;
  std::vector<float> x(static_cast<std::size_t>(rows * ld), NAN), d_x_start = x;
  for (std::int64_t i = 0; i < rows; ++i) {
    if (i < c.rows) std::copy_n(in.x.begin() + i * cols, cols, x.begin() + i * ld);
    if (c.mode != GradMode::overwrite) std::copy_n(in.d_x_start.begin() + i * cols, cols, d_x_start.begin() + i * ld);
  }
  std::vector<std::int32_t> row_class = in.reference.row_class;
  row_class.resize(static_cast<std::size_t>(rows), 0);
  float* loss = memory.make_output<float>(1);
  float* d_x = memory.put(d_x_start, c.misalign);
  float* d_beta = memory.put_one(in.d_beta_start);
  BinomialLossArgs args{.x = memory.put(x, c.misalign),
                        .row_class = memory.put(row_class),
                        .row_count = c.unused > 0 ? memory.put_one(static_cast<std::int32_t>(c.rows)) : nullptr,
                        .beta = memory.put_one(c.beta),
                        .loss_scale = c.loss_scale ? memory.put_one(*c.loss_scale) : nullptr,
                        .loss = loss,
                        .d_x = d_x,
                        .d_beta = d_beta,
                        .learners = static_cast<std::int64_t>(c.widths.size()),
                        .rows = rows,
                        .x_ld = ld,
                        .d_x_ld = ld,
                        .alpha = c.alpha,
                        .cost = c.cost,
                        .boosting = c.boosting,
                        .beta_update = c.update,
                        .d_x_mode = c.mode,
                        .d_beta_mode = c.mode};
  std::copy(c.widths.begin(), c.widths.end(), args.widths);
  args.workspace = memory.make_workspace(binomial_loss_workspace(args));
  memory.run([&](auto exec) { binomial_loss(args, exec); });
  BinomialOutput out{memory.get_one(loss), memory.get_one(d_beta), {}};
  const std::vector<float> wide = memory.get(d_x, rows * ld);
  for (std::int64_t i = 0; i < rows; ++i) {
    out.d_x.insert(out.d_x.end(), wide.begin() + i * ld, wide.begin() + i * ld + cols);
    for (std::int64_t k = cols; k < ld; ++k) EXPECT_TRUE(std::isnan(wide[i * ld + k])) << "written between rows";
  }
  return out;
}

/// The gradient by the chain rule, pair by pair; d_x in front, d_beta last.
template <class T>
std::vector<T> naive_gradient(const BinomialInput& in) {
  const reference::Binomial& b = in.reference;
  const std::int64_t rows = b.rows(), cols = b.cols();
  const std::vector<T> x(in.x.begin(), in.x.end());
  const std::vector<T> boosting = reference::binomial_boosting(b, x, T(in.c.beta)),
                       weights = reference::binomial_pair_weights<T>(b);
  const T learners = T(b.widths.size()), scale = T(in.c.loss_scale.value_or(1.0f));
  std::vector<T> gradient(x.size() + 1, T(0));
  T d_beta = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < rows; ++j) {
      if (!b.counts(i, j)) continue;
      const std::vector<T> a = reference::binomial_scores(b, x, T(in.c.beta), i, j);
      std::int64_t begin = 0;
      for (std::size_t k = 0; k < a.size(); ++k) {
        const T d_a = -T(1) / (T(1) + std::exp(a[k])) * boosting[k * static_cast<std::size_t>(rows * rows) + i * rows + j] *
                      weights[i * rows + j] / learners;
        const T d_s = d_a * T(b.alpha) * (b.same(i, j) ? T(1) : T(-b.cost));
        for (std::int64_t c = begin; c < begin + b.widths[k]; ++c) {
          gradient[i * cols + c] += scale * d_s * x[j * cols + c];
          gradient[j * cols + c] += scale * d_s * x[i * cols + c];
        }
        d_beta -= d_s;
        begin += b.widths[k];
      }
    }
  }
  const T sign = T(in.c.beta > 0) - T(in.c.beta < 0);
  gradient.back() = b.beta_fixed ? T(0) : scale * (d_beta + learners * T(b.nu) * sign);
  return gradient;
}

void expect_gradient(const BinomialInput& in, const BinomialOutput& got, std::vector<double> expected) {
  std::vector<float> naive = naive_gradient<float>(in);
  const bool adds = in.c.mode == GradMode::accumulate;
  expected.resize(expected.size() - 1), naive.resize(naive.size() - 1);
  const double wanted_beta = naive_gradient<double>(in).back() + (adds ? static_cast<double>(in.d_beta_start) : 0.0);
  const float naive_beta = naive_gradient<float>(in).back() + (adds ? in.d_beta_start : 0.0f);
  expected.resize(got.d_x.size(), 0.0), naive.resize(got.d_x.size(), 0.0f);
  for (std::size_t k = 0; k < expected.size() && adds; ++k) expected[k] += in.d_x_start[k], naive[k] += in.d_x_start[k];
  expect_close(got.d_x, expected, naive);
  expect_close({got.d_beta}, {wanted_beta}, {naive_beta});
}

void check(Place place, const BinomialCase& c) {
  SCOPED_TRACE(::testing::Message() << c.rows << " rows, " << c.unused << " unused, " << c.widths.size() << " learners, first "
                                    << c.widths[0] << ", " << c.classes << " classes");
  const BinomialInput in = make_input(c);
  const BinomialOutput got = run(place, in);
  const std::vector<double> x = to_double(in.x);
  const auto beta = static_cast<double>(c.beta);
  const double loss = reference::binomial_loss(in.reference, x, beta, reference::binomial_boosting(in.reference, x, beta));
  const float naive =
      reference::binomial_loss(in.reference, in.x, c.beta, reference::binomial_boosting(in.reference, in.x, c.beta));
  expect_close({got.loss}, {loss}, {naive});
  if (c.mode == GradMode::skip) {
    EXPECT_EQ(got.d_x, in.d_x_start);
    EXPECT_EQ(got.d_beta, in.d_beta_start);
  } else {
    expect_gradient(in, got, naive_gradient<double>(in));
  }
}

TEST_P(BinomialLossTest, SizesOfRowsAndLearners) {
  for (const BinomialCase& c : std::vector<BinomialCase>{{.rows = 0},
                                                         {.rows = 1, .widths = {1}},
                                                         {.rows = 2, .widths = {1, 2}, .classes = 1},
                                                         {.rows = 31, .widths = {31, 33}},
                                                         {.rows = 32, .widths = {32, 64, 4}},
                                                         {.rows = 33, .widths = {3}, .pad = 2},
                                                         {.rows = 63, .widths = {65, 1, 2}, .unused = 1},
                                                         {.rows = 64, .widths = {64}, .unused = 64},
                                                         {.rows = 65, .widths = {8, 68}, .unused = 3, .pad = 4},
                                                         {.rows = 30, .widths = {8, 16}, .misalign = 1},
                                                         {.rows = 20, .widths = {1, 2, 3, 4, 5, 6, 7, 8}, .pad = 1},
                                                         {.rows = 129, .widths = {12, 20, 32}, .classes = 40}}) {
    check(GetParam(), c);
  }
}

TEST_P(BinomialLossTest, BoostingBetaScaleAndModes) {
  for (const Boosting boosting : {Boosting::eta, Boosting::additive}) {
    for (const BinomialBetaUpdate update : {BinomialBetaUpdate::trained, BinomialBetaUpdate::fixed}) {
      for (const GradMode mode : {GradMode::skip, GradMode::overwrite, GradMode::accumulate}) {
        check(GetParam(), {.rows = 21,
                           .unused = 2,
                           .skip_each = 5,
                           .boosting = boosting,
                           .update = update,
                           .loss_scale = 64.0f,
                           .mode = mode});
      }
    }
    for (const float beta : {0.0f, -0.3f, 1.5f}) check(GetParam(), {.rows = 21, .beta = beta, .boosting = boosting});
  }
}

TEST_P(BinomialLossTest, OneClassNoClassAndSaturatedExponents) {
  for (const Boosting boosting : {Boosting::eta, Boosting::additive}) {
    check(GetParam(), {.rows = 17, .classes = 1, .boosting = boosting});
    check(GetParam(), {.rows = 17, .classes = 1, .skip_each = 1, .boosting = boosting});
    check(GetParam(), {.rows = 17, .classes = 1000000, .boosting = boosting});
    check(GetParam(), {.rows = 17, .cost = 1000.0f, .boosting = boosting});
    check(GetParam(), {.rows = 17, .alpha = 500.0f, .boosting = boosting});
  }
}

TEST_P(BinomialLossTest, ValuesThatAreNotFiniteReachTheLoss) {
  BinomialInput row = make_input({.rows = 9});
  row.x[5] = NAN;
  EXPECT_TRUE(std::isnan(run(GetParam(), row).loss));
  EXPECT_TRUE(std::isnan(run(GetParam(), make_input({.rows = 9, .beta = NAN})).loss));
}

TEST_P(BinomialLossTest, GradientMatchesCentralDifferences) {
  for (const Boosting boosting : {Boosting::eta, Boosting::additive}) {
    const BinomialInput in = make_input({.rows = 9, .widths = {3, 4, 2}, .skip_each = 6, .cost = 3.0f, .boosting = boosting});
    std::vector<double> point = to_double(in.x);
    const auto beta = static_cast<double>(in.c.beta);
    const std::vector<double> boosting_weights = reference::binomial_boosting(in.reference, point, beta);
    point.push_back(beta);
    const auto value = [&](const std::vector<double>& v) {
      return reference::binomial_loss<double>(in.reference, {v.begin(), v.end() - 1}, v.back(), boosting_weights);
    };
    const std::vector<double> expected = central_differences(point, value, 1e-6);
    const BinomialOutput got = run(GetParam(), in);
    expect_gradient(in, got, expected);
    EXPECT_NEAR(static_cast<double>(got.d_beta), expected.back(), 1e-5 * std::abs(expected.back()));
  }
}

TEST_P(BinomialLossTest, RowsInTheSameOrderGiveTheSameBits) {
  const BinomialInput in = make_input({.rows = 100, .widths = {24, 40}});
  const BinomialOutput first = run(GetParam(), in), second = run(GetParam(), in);
  EXPECT_EQ(first.loss, second.loss);
  EXPECT_EQ(first.d_x, second.d_x);
  EXPECT_EQ(first.d_beta, second.d_beta);
}

SWATH_KERNEL_PLACES(BinomialLossTest);

}  // namespace
}  // namespace swath::kernels::test
