// Dropout: the documented draw of every element, its share, and independence of how rows are split.
#include "kernels/dropout.h"

#include "tests/kernels/element_case.h"

namespace swath::kernels::test {
namespace {

class DropoutTest : public KernelTest {};

TEST_P(DropoutTest, EveryElementFollowsItsDraw) {
  struct Size {
    std::int64_t rows, columns, row_offset;
  };
  for (const Size z : {Size{0, 8, 0}, {1, 1, 0}, {1, 31, 3}, {3, 33, 1}, {5, 64, 0}, {7, 65, 11}, {20, 2048, 2}})
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
      for (const float keep : {0.99f, 0.5f, 1.0f}) {
        SCOPED_TRACE(::testing::Message() << z.rows << "x" << z.columns << " from " << z.row_offset << " " << name_of(dtype)
                                          << " " << keep);
        CaseMemory memory(GetParam());
        const std::int64_t n = z.rows * z.columns;
        const auto x = rounded(random_floats(n, 1), dtype);
        DropoutArgs args{.rows = z.rows,
                         .columns = z.columns,
                         .dtype = dtype,
                         .x = put_elements(memory, x, dtype),
                         .y = make_elements(memory, n, dtype),
                         .keep = keep,
                         .seed = 5,
                         .step = memory.put_one<std::uint64_t>(9),
                         .row_offset = z.row_offset,
                         .layer = 2};
        memory.run([&](auto exec) { dropout(args, exec); });
        std::vector<double> expected(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
          const std::uint64_t element = static_cast<std::uint64_t>(z.row_offset * z.columns) + i;
          const float draw = uniform01(philox(5, 9, RandomStream::dropout, element / 4, 2).v[element % 4]);
          expected[i] = draw < keep ? static_cast<double>(x[i]) / static_cast<double>(keep) : 0;
        }
        const auto got = get_elements(memory, args.y, n, dtype);
        expect_elements_close(got, expected, to_float_vector(expected), dtype);
        if (n < 10000) continue;
        const double kept = static_cast<double>(std::count_if(got.begin(), got.end(), [](float v) { return v != 0; }));
        const double share = static_cast<double>(keep), spread = std::sqrt(static_cast<double>(n) * share * (1 - share));
        EXPECT_NEAR(kept, static_cast<double>(n) * share, 5 * spread + static_cast<double>(n) * 1e-4);
      }
}

TEST_P(DropoutTest, PartsEqualTheWhole) {
  CaseMemory memory(GetParam());
  const float* x = memory.put(std::vector<float>(10 * 13, 1.0f));
  float *whole = memory.make_output<float>(130), *parts = memory.make_output<float>(130);
  const auto* step = memory.put_one<std::uint64_t>(1);
  memory.run([&](auto exec) {
    dropout({.rows = 10, .columns = 13, .x = x, .y = whole, .keep = 0.5f, .step = step}, exec);
    dropout({.rows = 3, .columns = 13, .x = x, .y = parts, .keep = 0.5f, .step = step}, exec);
    dropout({.rows = 7, .columns = 13, .x = x + 39, .y = parts + 39, .keep = 0.5f, .step = step, .row_offset = 3}, exec);
  });
  EXPECT_EQ(memory.get(whole, 130), memory.get(parts, 130));
}

SWATH_KERNEL_PLACES(DropoutTest);

}  // namespace
}  // namespace swath::kernels::test
