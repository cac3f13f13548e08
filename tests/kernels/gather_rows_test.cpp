// Cases of gather_rows and scatter_add_rows. methods.md §1 (pair rows).
#include "kernels/gather_rows.h"

#include <optional>

#include "tests/kernels/kernel_case.h"

namespace swath::kernels::test {
namespace {

class GatherRowsTest : public KernelTest {};

struct GatherCase {
  std::int64_t rows, x_rows, cols, ld;
  std::optional<std::int32_t> row_count;
};

const std::vector<GatherCase> kCases = {
    {0, 4, 8, 8, {}},       {5, 0, 8, 8, {}},        {1, 1, 1, 1, {}},        {31, 7, 3, 3, {}},      {32, 7, 32, 32, {}},
    {33, 7, 33, 40, 20},    {127, 16, 512, 512, {}}, {128, 17, 513, 513, {}}, {129, 15, 516, 516, 0}, {257, 40, 511, 512, 257},
    {300, 240, 64, 64, {}}, {40, 3, 600, 604, 1000}, {20, 3000, 4, 4, {}},
};

/// Random indices; every fifth is −1 (all when there is no row to name).
std::vector<std::int32_t> indices(const GatherCase& c) {
  std::vector<std::int32_t> index = random_ints(c.rows, 11, static_cast<std::uint32_t>(c.x_rows));
  for (std::size_t r = 0; r < index.size(); ++r) {
    if (r % 5 == 4 || c.x_rows == 0) index[r] = -1;
  }
  return index;
}

std::int64_t used_rows(const GatherCase& c) { return c.row_count ? std::min<std::int64_t>(*c.row_count, c.rows) : c.rows; }

TEST_P(GatherRowsTest, GatherCopiesRows) {
  for (const GatherCase& c : kCases) {
    SCOPED_TRACE(::testing::Message() << c.rows << " of " << c.x_rows << " x " << c.cols);
    CaseMemory memory(GetParam());
    const std::vector<float> x = random_floats(c.x_rows * c.ld, 12);
    const std::vector<std::int32_t> index = indices(c);
    float* out = memory.make_output<float>(c.rows * c.cols);
    const GatherRowsArgs args{.x = memory.put(x),
                              .index = memory.put(index),
                              .row_count = c.row_count ? memory.put_one(*c.row_count) : nullptr,
                              .out = out,
                              .rows = c.rows,
                              .cols = c.cols,
                              .x_ld = c.ld,
                              .out_ld = c.cols};
    memory.run([&](auto exec) { gather_rows(args, exec); });
    std::vector<float> expected(static_cast<std::size_t>(c.rows * c.cols), 0.0f);
    for (std::int64_t r = 0; r < used_rows(c); ++r) {
      if (index[r] >= 0) std::copy_n(x.begin() + index[r] * c.ld, c.cols, expected.begin() + r * c.cols);
    }
    EXPECT_EQ(memory.get(out, c.rows * c.cols), expected);
  }
}

TEST_P(GatherRowsTest, ScatterAddsInOrder) {
  for (const GatherCase& c : kCases) {
    for (const GradMode mode : {GradMode::skip, GradMode::overwrite, GradMode::accumulate}) {
      SCOPED_TRACE(::testing::Message() << c.rows << " to " << c.x_rows << " x " << c.cols << " mode "
                                        << static_cast<int>(mode));
      CaseMemory memory(GetParam());
      const std::vector<float> d_out = random_floats(c.rows * c.ld, 13), start = random_floats(c.x_rows * c.cols, 14);
      const std::vector<std::int32_t> index = indices(c);
      float* d_x = memory.put(start);
      const ScatterAddRowsArgs args{.d_out = memory.put(d_out),
                                    .index = memory.put(index),
                                    .row_count = c.row_count ? memory.put_one(*c.row_count) : nullptr,
                                    .d_x = d_x,
                                    .rows = c.rows,
                                    .x_rows = c.x_rows,
                                    .cols = c.cols,
                                    .d_out_ld = c.ld,
                                    .d_x_ld = c.cols,
                                    .d_x_mode = mode};
      memory.run([&](auto exec) { scatter_add_rows(args, exec); });
      // The order of the sums is part of the contract, so a float loop in that order gives the same bits.
      std::vector<float> expected = start;
      if (mode == GradMode::overwrite) std::fill(expected.begin(), expected.end(), 0.0f);
      for (std::int64_t r = 0; mode != GradMode::skip && r < used_rows(c); ++r) {
        for (std::int64_t k = 0; index[r] >= 0 && k < c.cols; ++k) expected[index[r] * c.cols + k] += d_out[r * c.ld + k];
      }
      EXPECT_EQ(memory.get(d_x, c.x_rows * c.cols), expected);
    }
  }
}

SWATH_KERNEL_PLACES(GatherRowsTest);

}  // namespace
}  // namespace swath::kernels::test
