// Cases of row_normalize and its gradient. methods.md §2.
#include "kernels/row_normalize.h"

#include "tests/kernels/kernel_case.h"
#include "tests/reference/rows.h"

namespace swath::kernels::test {
namespace {

class RowNormalizeTest : public KernelTest {};

/// Rows as columns [at, at + cols) of a matrix with leading dimension ld.
struct Slice {
  std::int64_t rows, cols, ld, at;
};

const std::vector<Slice> kSlices = {{0, 8, 8, 0},     {1, 1, 1, 0},     {3, 31, 31, 0},   {4, 32, 32, 0},
                                    {5, 33, 33, 0},   {127, 3, 5, 1},   {128, 64, 80, 8}, {129, 130, 140, 4},
                                    {9, 127, 128, 1}, {2, 128, 128, 0}, {2, 129, 129, 0}, {300, 512, 512, 0},
                                    {0, 0, 0, 0},     {2, 0, 4, 0}};

std::vector<float> pack(const std::vector<float>& wide, const Slice& s) {
  std::vector<float> rows;
  for (std::int64_t i = 0; i < s.rows; ++i) {
    const auto begin = wide.begin() + i * s.ld + s.at;
    rows.insert(rows.end(), begin, begin + s.cols);
  }
  return rows;
}

/// A random matrix whose rows include a zero row, a huge one and a tiny one.
std::vector<float> matrix(const Slice& s, std::uint64_t seed) {
  std::vector<float> wide = random_floats(s.rows * s.ld, seed);
  const auto scale_row = [&](std::int64_t row, float factor) {
    for (std::int64_t k = 0; row < s.rows && k < s.ld; ++k) wide[row * s.ld + k] *= factor;
  };
  scale_row(3, 0.0f);
  scale_row(4, 1e15f);
  scale_row(5, 1e-15f);
  return wide;
}

TEST_P(RowNormalizeTest, ForwardMatchesReference) {
  for (const Slice& s : kSlices) {
    SCOPED_TRACE(::testing::Message() << s.rows << " x " << s.cols << " ld " << s.ld);
    CaseMemory memory(GetParam());
    const std::vector<float> wide = matrix(s, 1), x = pack(wide, s);
    const std::int64_t y_ld = s.cols;
    const float* x_at = memory.put(wide) + s.at;
    float* y = memory.make_output<float>(s.rows * y_ld);
    float* inv_norm = memory.make_output<float>(s.rows);
    const RowNormalizeArgs args{
        .x = x_at, .y = y, .inv_norm = inv_norm, .rows = s.rows, .cols = s.cols, .x_ld = s.ld, .y_ld = y_ld};
    memory.run([&](auto exec) { row_normalize(args, exec); });
    const std::vector<double> reference = reference::unit_rows(to_double(x), s.rows, s.cols);
    expect_close(memory.get(y, s.rows * y_ld), reference, reference::unit_rows(x, s.rows, s.cols));
    const std::vector<float> inverse = memory.get(inv_norm, s.rows);
    for (std::int64_t i = 0; i < s.rows && s.cols > 0; ++i) {
      double norm = 0;
      for (std::int64_t k = 0; k < s.cols; ++k) norm = std::hypot(norm, double{x[i * s.cols + k]});
      EXPECT_NEAR(inverse[i] * std::max(norm, 1e-12), 1.0, 1e-5);
    }
  }
}

TEST_P(RowNormalizeTest, WorksInPlaceAndWithoutInverse) {
  CaseMemory memory(GetParam());
  const Slice s{33, 20, 20, 0};
  const std::vector<float> x = matrix(s, 2);
  float* p = memory.put(x);
  const RowNormalizeArgs args{.x = p, .y = p, .rows = s.rows, .cols = s.cols, .x_ld = s.ld, .y_ld = s.ld};
  memory.run([&](auto exec) { row_normalize(args, exec); });
  expect_close(memory.get(p, s.rows * s.cols), reference::unit_rows(to_double(x), s.rows, s.cols),
               reference::unit_rows(x, s.rows, s.cols));
}

/// Runs forward and backward; returns d_x (packed), which starts as `start` in mode accumulate.
std::vector<float> gradient(Place place, const Slice& s, const std::vector<float>& wide, const std::vector<float>& d_y,
                            GradMode mode, const std::vector<float>& start) {
  CaseMemory memory(place);
  const float* x_at = memory.put(wide) + s.at;
  float* y = memory.make_output<float>(s.rows * s.cols);
  float* inv_norm = memory.make_output<float>(s.rows);
  float* d_x = memory.put(start);
  const RowNormalizeArgs forward{
      .x = x_at, .y = y, .inv_norm = inv_norm, .rows = s.rows, .cols = s.cols, .x_ld = s.ld, .y_ld = s.cols};
  const RowNormalizeBackwardArgs backward{.y = y,
                                          .d_y = memory.put(d_y),
                                          .inv_norm = inv_norm,
                                          .d_x = d_x,
                                          .rows = s.rows,
                                          .cols = s.cols,
                                          .y_ld = s.cols,
                                          .d_y_ld = s.cols,
                                          .d_x_ld = s.cols,
                                          .d_x_mode = mode};
  memory.run([&](auto exec) {
    row_normalize(forward, exec);
    row_normalize_backward(backward, exec);
  });
  return memory.get(d_x, s.rows * s.cols);
}

TEST_P(RowNormalizeTest, GradientMatchesCentralDifferences) {
  const Slice s{3, 33, 33, 0};
  const std::vector<float> x = random_floats(s.rows * s.cols, 3), d_y = random_floats(s.rows * s.cols, 4);
  const auto value = [&](const std::vector<double>& v) {
    const std::vector<double> y = reference::unit_rows(v, s.rows, s.cols);
    double sum = 0;
    for (std::size_t k = 0; k < y.size(); ++k) sum += y[k] * d_y[k];
    return sum;
  };
  expect_close(gradient(GetParam(), s, x, d_y, GradMode::overwrite, std::vector<float>(x.size(), NAN)),
               central_differences(to_double(x), value), reference::unit_rows_gradient(x, d_y, s.rows, s.cols));
}

TEST_P(RowNormalizeTest, GradientModes) {
  for (const Slice& s : kSlices) {
    SCOPED_TRACE(::testing::Message() << s.rows << " x " << s.cols << " ld " << s.ld);
    std::vector<float> wide = random_floats(s.rows * s.ld, 5);
    for (std::int64_t k = 0; s.rows > 1 && k < s.ld; ++k) wide[s.ld + k] = 0;  // a zero row: huge gradient, tested below
    const std::vector<float> d_y = random_floats(s.rows * s.cols, 6), start = random_floats(s.rows * s.cols, 7);
    std::vector<float> x = pack(wide, s);
    const auto drop_zero_row = [&](auto v) {
      if (s.rows > 1) v.erase(v.begin() + s.cols, v.begin() + 2 * s.cols);
      return v;
    };
    std::vector<double> expected = reference::unit_rows_gradient(to_double(x), to_double(d_y), s.rows, s.cols);
    std::vector<float> naive = reference::unit_rows_gradient(x, d_y, s.rows, s.cols);
    const std::vector<float> nan(start.size(), NAN);
    expect_close(drop_zero_row(gradient(GetParam(), s, wide, d_y, GradMode::overwrite, nan)), drop_zero_row(expected),
                 drop_zero_row(naive));
    for (std::size_t k = 0; k < expected.size(); ++k) expected[k] += start[k], naive[k] += start[k];
    expect_close(drop_zero_row(gradient(GetParam(), s, wide, d_y, GradMode::accumulate, start)), drop_zero_row(expected),
                 drop_zero_row(naive));
    EXPECT_EQ(gradient(GetParam(), s, wide, d_y, GradMode::skip, start), start);
  }
}

TEST_P(RowNormalizeTest, RowsBelowTheFloorAreOnlyScaled) {
  const Slice s{2, 4, 4, 0};
  const std::vector<float> x = {0, 0, 0, 0, 1e-13f, -2e-13f, 0, 1e-13f}, d_y = random_floats(8, 8);
  const std::vector<float> d_x = gradient(GetParam(), s, x, d_y, GradMode::overwrite, std::vector<float>(8, NAN));
  for (std::size_t k = 0; k < 8; ++k) EXPECT_NEAR(d_x[k], d_y[k] * 1e12, 1e6);
}

SWATH_KERNEL_PLACES(RowNormalizeTest);

}  // namespace
}  // namespace swath::kernels::test
