// Rough distances against the exact ones. methods.md §4.
#include "kernels/rough_distance.h"

#include "kernels/pairwise_distance.h"
#include "tests/kernels/kernel_case.h"
#include "tests/reference/rows.h"

namespace swath::kernels::test {
namespace {

struct Found {
  double error;
  std::vector<float> rough, exact;
  std::vector<float> refined;  // of row 0
};

Found find(const std::vector<float>& x, std::int64_t rows, std::int64_t cols) {
  std::vector<float> rough(static_cast<std::size_t>(rows * rows)), exact(rough), refined(static_cast<std::size_t>(rows));
  RoughDistanceArgs args{.x = x.data(), .distance = rough.data(), .rows = rows, .cols = cols, .x_ld = cols};
  std::vector<std::int64_t> workspace(rough_distance_workspace(args) / 8 + 1);
  args.workspace = workspace.data();
  const double error = rough_distance(args, Cpu{});
  std::vector<std::int32_t> others;
  for (std::int32_t j = 0; j < rows; ++j) others.push_back(j);
  exact_distances(args, 0, others.data(), rows, refined.data());
  pairwise_distance({.x = x.data(), .distance = exact.data(), .rows = rows, .cols = cols, .x_ld = cols}, Cpu{});
  return {error, rough, exact, refined};
}

TEST(RoughDistance, SquaresAreWithinTheErrorAndExactOnesEqual) {
  double largest = 0;
  for (const auto& [rows, cols] : {std::pair<std::int64_t, std::int64_t>{3, 1}, {65, 7}, {130, 129}, {90, 512}, {20, 2200}}) {
    for (const float scale : {1e-6f, 1.0f, 40.0f}) {
      SCOPED_TRACE(::testing::Message() << rows << " x " << cols << " times " << scale);
      std::vector<float> x = reference::unit_rows(random_floats(rows * cols, 95), rows, cols);
      for (float& v : x) v *= scale;
      std::fill_n(x.begin(), cols, 0.0f);
      x[0] = scale;  // as long as a row can be in one element
      const Found found = find(x, rows, cols);
      for (std::int64_t j = 1; j < rows; ++j) EXPECT_EQ(found.refined[j], found.exact[j]);
      if (found.error == 0) GTEST_SKIP() << "this build has no integer products for rough distances";
      EXPECT_LT(found.error, 0.01 * scale * scale);
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < rows; ++j) {
          if (i == j) continue;
          const double rough = found.rough[i * rows + j], exact = found.exact[i * rows + j];
          EXPECT_LE(std::abs(rough * rough - exact * exact), found.error);
          largest = std::max(largest, std::abs(rough * rough - exact * exact) / found.error);
        }
      }
    }
  }
  EXPECT_GT(largest, 0.05);  // the bound is of use
}

TEST(RoughDistance, RowsThatDoNotAllowIt) {
  EXPECT_EQ(find(std::vector<float>(12, 0.0f), 3, 4).error, 0);
  std::vector<float> x = random_floats(12, 96);
  x[7] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(find(x, 3, 4).error, 0);
  x[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(find(x, 3, 4).error, 0);
}

}  // namespace
}  // namespace swath::kernels::test
