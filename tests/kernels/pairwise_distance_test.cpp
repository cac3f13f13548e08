// Cases of pairwise_distance. methods.md §4.
#include "kernels/pairwise_distance.h"

#include "tests/kernels/kernel_case.h"
#include "tests/reference/rows.h"

namespace swath::kernels::test {
namespace {

class PairwiseDistanceTest : public KernelTest {};

struct Shape {
  std::int64_t rows, cols, ld;
};

const std::vector<Shape> kShapes = {{0, 8, 8},  {1, 1, 1},     {1, 512, 512},  {31, 3, 3},      {32, 32, 32},   {33, 33, 36},
                                    {63, 4, 8}, {64, 64, 64},  {65, 127, 127}, {129, 128, 128}, {40, 129, 130}, {150, 256, 256},
                                    {5, 0, 0},  {240, 40, 40}, {330, 9, 12},   {75, 1100, 1100}};

std::vector<float> run(Place place, const std::vector<float>& x, const Shape& s) {
  CaseMemory memory(place);
  float* distance = memory.make_output<float>(s.rows * s.rows);
  const PairwiseDistanceArgs args{.x = memory.put(x), .distance = distance, .rows = s.rows, .cols = s.cols, .x_ld = s.ld};
  memory.run([&](auto exec) { pairwise_distance(args, exec); });
  return memory.get(distance, s.rows * s.rows);
}

TEST_P(PairwiseDistanceTest, EqualsThePrescribedChainOfMultiplyAdds) {
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(::testing::Message() << s.rows << " x " << s.cols);
    std::vector<float> x = random_floats(s.rows * s.ld, 21);
    if (s.rows > 20) std::copy_n(x.begin(), s.ld, x.begin() + 20 * s.ld);  // a duplicate row
    const std::vector<float> got = run(GetParam(), x, s);
    const auto product = [&](std::int64_t i, std::int64_t j) {
      float sum = 0;
      for (std::int64_t k = 0; k < s.cols; ++k) sum = std::fmaf(x[i * s.ld + k], x[j * s.ld + k], sum);
      return sum;
    };
    std::vector<float> square;
    for (std::int64_t i = 0; i < s.rows; ++i) square.push_back(product(i, i));
    std::int64_t different = 0;
    for (std::int64_t i = 0; i < s.rows; ++i) {
      for (std::int64_t j = 0; j < s.rows; ++j) {
        const float squared = std::fmaf(-2.0f, product(i, j), square[i] + square[j]);
        different += got[i * s.rows + j] == (i == j ? 0.0f : std::sqrt(std::max(0.0f, squared))) ? 0 : 1;
      }
    }
    EXPECT_EQ(different, 0);
    if (s.rows > 20) {
      EXPECT_EQ(got[20], 0.0f);
    }
  }
}

TEST_P(PairwiseDistanceTest, MatchesReference) {
  for (const Shape& s : kShapes) {
    if (s.ld != s.cols) continue;
    SCOPED_TRACE(::testing::Message() << s.rows << " x " << s.cols);
    std::vector<float> x = random_floats(s.rows * s.cols, 22);
    x = reference::unit_rows(x, s.rows, s.cols);
    const std::vector<float> got = run(GetParam(), x, s);
    expect_close(got, reference::distances(to_double(x), s.rows, s.cols), reference::distances(x, s.rows, s.cols));
  }
}

SWATH_KERNEL_PLACES(PairwiseDistanceTest);

}  // namespace
}  // namespace swath::kernels::test
