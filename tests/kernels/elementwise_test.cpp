// Element-wise operations, column sums, column copies and the non-finite count against the plain formula.
#include "kernels/elementwise.h"

#include <limits>

#include "kernels/columns.h"
#include "kernels/nonfinite.h"
#include "tests/kernels/element_case.h"

namespace swath::kernels::test {
namespace {

class ElementwiseTest : public KernelTest {
 protected:
  /// Calls body(n, dtype, misalign) over the sizes of every element-wise case.
  template <class Body>
  void for_sizes(const Body& body) {
    for (const std::int64_t n : {0, 1, 3, 31, 32, 33, 255, 1025, 40000})
      for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
        for (const std::size_t misalign : {0, 1}) {
          SCOPED_TRACE(::testing::Message() << n << " " << name_of(dtype) << " misaligned by " << misalign);
          body(n, dtype, misalign);
        }
  }

  /// The values of formula(i), as the type stores a float32 result.
  template <class Formula>
  static std::vector<float> expected(std::int64_t n, DType dtype, const Formula& formula) {
    std::vector<float> values(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = formula(i);
    return rounded(values, dtype);
  }
};

TEST_P(ElementwiseTest, Add) {
  for_sizes([&](std::int64_t n, DType dtype, std::size_t misalign) {
    CaseMemory memory(GetParam());
    const auto a = rounded(random_floats(n, 1), dtype), b = rounded(random_floats(n, 2), dtype);
    AddArgs args{.n = n,
                 .dtype = dtype,
                 .a = put_elements(memory, a, dtype, misalign),
                 .b = put_elements(memory, b, dtype),
                 .out = make_elements(memory, n, dtype)};
    const auto sum = expected(n, dtype, [&](std::size_t i) { return a[i] + b[i]; });
    memory.run([&](auto exec) { add(args, exec); });
    EXPECT_EQ(get_elements(memory, args.out, n, dtype), sum);
    void* shared = put_elements(memory, a, dtype, misalign);
    args.a = args.out = shared;
    memory.run([&](auto exec) { add(args, exec); });
    EXPECT_EQ(get_elements(memory, shared, n, dtype), sum);
  });
}

TEST_P(ElementwiseTest, ReluBothWays) {
  for_sizes([&](std::int64_t n, DType dtype, std::size_t misalign) {
    CaseMemory memory(GetParam());
    const auto x = rounded(random_floats(n, 3), dtype), d_y = rounded(random_floats(n, 4), dtype);
    const auto before = rounded(random_floats(n, 5), dtype);
    ReluArgs args{
        .n = n, .dtype = dtype, .x = put_elements(memory, x, dtype, misalign), .y = make_elements(memory, n, dtype, misalign)};
    memory.run([&](auto exec) { relu(args, exec); });
    EXPECT_EQ(get_elements(memory, args.y, n, dtype), expected(n, dtype, [&](std::size_t i) { return x[i] > 0 ? x[i] : 0; }));

    ReluBackwardArgs back{.n = n,
                          .dtype = dtype,
                          .d_y = put_elements(memory, d_y, dtype, misalign),
                          .y = args.y,
                          .d_x = put_elements(memory, before, dtype, misalign)};
    const auto gradient = [&](std::size_t i) { return x[i] > 0 ? d_y[i] : 0.0f; };
    back.mode = GradMode::skip;
    memory.run([&](auto exec) { relu_backward(back, exec); });
    EXPECT_EQ(get_elements(memory, back.d_x, n, dtype), before);
    back.mode = GradMode::accumulate;
    memory.run([&](auto exec) { relu_backward(back, exec); });
    EXPECT_EQ(get_elements(memory, back.d_x, n, dtype),
              expected(n, dtype, [&](std::size_t i) { return before[i] + gradient(i); }));
    back.mode = GradMode::overwrite;
    memory.run([&](auto exec) { relu_backward(back, exec); });
    EXPECT_EQ(get_elements(memory, back.d_x, n, dtype), expected(n, dtype, gradient));
  });
}

TEST_P(ElementwiseTest, ScaleCastFill) {
  for_sizes([&](std::int64_t n, DType dtype, std::size_t misalign) {
    CaseMemory memory(GetParam());
    const auto x = rounded(random_floats(n, 6), dtype);
    void* from = put_elements(memory, x, dtype, misalign);
    void* out = make_elements(memory, n, dtype, misalign);
    memory.run([&](auto exec) { scale({.n = n, .dtype = dtype, .x = from, .out = out, .factor = 0.3f}, exec); });
    EXPECT_EQ(get_elements(memory, out, n, dtype), expected(n, dtype, [&](std::size_t i) { return 0.3f * x[i]; }));
    const float* factor = memory.put_one(-4.0f);
    memory.run([&](auto exec) {
      scale({.n = n, .dtype = dtype, .x = from, .out = out, .factor = 0.5f, .device_factor = factor}, exec);
    });
    EXPECT_EQ(get_elements(memory, out, n, dtype), expected(n, dtype, [&](std::size_t i) { return -2.0f * x[i]; }));
    for (const DType to : {DType::f32, DType::bf16, DType::f16}) {
      void* converted = make_elements(memory, n, to, misalign);
      memory.run([&](auto exec) { cast({.n = n, .from = dtype, .to = to, .x = from, .out = converted}, exec); });
      EXPECT_EQ(get_elements(memory, converted, n, to), rounded(x, to));
    }
    memory.run([&](auto exec) { fill({.n = n, .dtype = dtype, .out = out, .value = 1.25f}, exec); });
    EXPECT_EQ(get_elements(memory, out, n, dtype), std::vector<float>(static_cast<std::size_t>(n), 1.25f));
  });
}

TEST_P(ElementwiseTest, CastRoundsToNearestEven) {
  CaseMemory memory(GetParam());
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {1.0f, 1.00390625f, 1.01171875f, -1.00390625f, 3.39e38f, infinity, -infinity, 1e-40f};
  bf16* out = memory.make_output<bf16>(9);
  std::vector<float> with_nan = x;
  with_nan.push_back(std::numeric_limits<float>::quiet_NaN());
  const float* from = memory.put(with_nan);
  memory.run([&](auto exec) { cast({.n = 9, .from = DType::f32, .to = DType::bf16, .x = from, .out = out}, exec); });
  const std::vector<float> got = get_elements(memory, out, 9, DType::bf16);
  EXPECT_EQ(got[0], 1.0f);
  EXPECT_EQ(got[1], 1.0f);
  EXPECT_EQ(got[2], 1.015625f);
  EXPECT_EQ(got[3], -1.0f);
  EXPECT_EQ(got[4], 3.3895314e38f);
  EXPECT_EQ(got[5], infinity);
  EXPECT_EQ(got[6], -infinity);
  EXPECT_NEAR(got[7], 1e-40f, 1e-40f);
  EXPECT_TRUE(std::isnan(got[8]));
}

template <class Real>
std::vector<Real> sums_of_columns(std::int64_t rows, std::int64_t columns, const std::vector<Real>& x) {
  std::vector<Real> sums(static_cast<std::size_t>(columns), 0);
  for (std::int64_t i = 0; i < rows * columns; ++i) sums[i % columns] += x[i];
  return sums;
}

TEST_P(ElementwiseTest, ColumnSums) {
  struct Size {
    std::int64_t rows, columns;
  };
  for (const Size z : {Size{0, 5}, {3, 0}, {1, 1}, {31, 33}, {33, 31}, {7, 65}, {120, 512}, {1000, 3}})
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      SCOPED_TRACE(::testing::Message() << z.rows << "x" << z.columns << " " << name_of(dtype));
      CaseMemory memory(GetParam());
      const auto x = rounded(random_floats(z.rows * z.columns, 7), dtype);
      const auto exact = sums_of_columns(z.rows, z.columns, to_double(x));
      const auto naive = sums_of_columns(z.rows, z.columns, x);
      ColumnSumsArgs args{.rows = z.rows,
                          .columns = z.columns,
                          .dtype = dtype,
                          .x = put_elements(memory, x, dtype),
                          .sums = memory.make_output<float>(z.columns)};
      memory.run([&](auto exec) { column_sums(args, exec); });
      expect_close(memory.get(args.sums, z.columns), exact, naive, static_cast<double>(z.rows));
      args.mode = GradMode::accumulate;
      const auto before = memory.get(args.sums, z.columns);
      memory.run([&](auto exec) { column_sums(args, exec); });
      for (std::int64_t i = 0; i < z.columns; ++i) EXPECT_EQ(memory.get(args.sums, z.columns)[i], 2 * before[i]);
      args.mode = GradMode::skip;
      memory.run([&](auto exec) { column_sums(args, exec); });
      for (std::int64_t i = 0; i < z.columns; ++i) EXPECT_EQ(memory.get(args.sums, z.columns)[i], 2 * before[i]);
    }
}

TEST_P(ElementwiseTest, CopyColumns) {
  struct Size {
    std::int64_t rows, columns, from_stride, from_column, to_stride, to_column;
  };
  for (const Size z : {Size{0, 4, 4, 0, 8, 4},
                       {3, 0, 4, 0, 8, 4},
                       {9, 128, 128, 0, 512, 128},
                       {31, 160, 512, 96, 160, 0},
                       {33, 5, 7, 1, 9, 3},
                       {4, 8, 8, 0, 9, 0}})
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      SCOPED_TRACE(::testing::Message() << z.rows << "x" << z.columns << " " << name_of(dtype));
      CaseMemory memory(GetParam());
      const auto from = rounded(random_floats(z.rows * z.from_stride, 8), dtype);
      auto to = rounded(random_floats(z.rows * z.to_stride, 9), dtype);
      const std::size_t size = size_of(dtype);
      char* target = static_cast<char*>(put_elements(memory, to, dtype));
      CopyColumnsArgs args{
          .rows = z.rows,
          .columns = z.columns,
          .dtype = dtype,
          .from = static_cast<char*>(put_elements(memory, from, dtype)) + static_cast<std::size_t>(z.from_column) * size,
          .from_stride = z.from_stride,
          .to = target + static_cast<std::size_t>(z.to_column) * size,
          .to_stride = z.to_stride};
      for (const GradMode mode : {GradMode::accumulate, GradMode::overwrite, GradMode::skip}) {
        args.mode = mode;
        memory.run([&](auto exec) { copy_columns(args, exec); });
        for (std::int64_t r = 0; mode != GradMode::skip && r < z.rows; ++r)
          for (std::int64_t c = 0; c < z.columns; ++c) {
            float& v = to[r * z.to_stride + z.to_column + c];
            v = (mode == GradMode::accumulate ? v : 0.0f) + from[r * z.from_stride + z.from_column + c];
          }
        to = rounded(to, dtype);
        EXPECT_EQ(get_elements(memory, target, z.rows * z.to_stride, dtype), to);
      }
    }
}

TEST_P(ElementwiseTest, NonfiniteCount) {
  for_sizes([&](std::int64_t n, DType dtype, std::size_t misalign) {
    CaseMemory memory(GetParam());
    auto x = random_floats(n, 10);
    std::int32_t bad = 0;
    for (std::size_t i = 0; i < x.size(); i += 7, ++bad)
      x[i] = bad % 3 == 0   ? std::numeric_limits<float>::quiet_NaN()
             : bad % 3 == 1 ? std::numeric_limits<float>::infinity()
                            : -std::numeric_limits<float>::infinity();
    NonfiniteArgs args{
        .n = n, .dtype = dtype, .x = put_elements(memory, x, dtype, misalign), .count = memory.put_one<std::int32_t>(5)};
    memory.run([&](auto exec) { nonfinite(args, exec); });
    EXPECT_EQ(memory.get_one(args.count), 5 + bad);
  });
}

SWATH_KERNEL_PLACES(ElementwiseTest);

}  // namespace
}  // namespace swath::kernels::test
