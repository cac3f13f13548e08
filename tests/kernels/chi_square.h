// Pearson's chi-square test that counts come from a uniform draw.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace swath::kernels::test {

/// Fails when the statistic exceeds the 99.9 % point of its distribution (Wilson and Hilferty's approximation, 1931).
inline void expect_uniform(const std::vector<std::int64_t>& counts) {
  const double total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  const double expected = total / static_cast<double>(counts.size());
  ASSERT_GE(expected, 10.0) << "too few draws to judge";
  double statistic = 0;
  for (const std::int64_t count : counts) {
    const double excess = static_cast<double>(count) - expected;
    statistic += excess * excess / expected;
  }
  const double freedom = static_cast<double>(counts.size()) - 1, spread = 2 / (9 * freedom);
  const double limit = freedom * std::pow(1 - spread + 3.0902 * std::sqrt(spread), 3);
  EXPECT_LT(statistic, limit) << "over " << counts.size() << " outcomes";
}

}  // namespace swath::kernels::test
