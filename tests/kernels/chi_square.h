// Pearson's chi-square test that counts come from a given draw.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace swath::kernels::test {

/// Fails when the statistic exceeds the 99.9 % point of its distribution (Wilson and Hilferty's approximation, 1931).
/// Outcomes that are expected fewer than 10 times are judged together; those of probability 0 must not occur.
inline void expect_distribution(const std::vector<std::int64_t>& counts, const std::vector<double>& probabilities) {
  ASSERT_EQ(counts.size(), probabilities.size());
  const double total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  double statistic = 0, rare_expected = 0, rare_count = 0;
  int outcomes = 0;
  const auto judge = [&](double count, double expected) {
    statistic += (count - expected) * (count - expected) / expected;
    ++outcomes;
  };
  for (std::size_t k = 0; k < counts.size(); ++k) {
    const double expected = total * probabilities[k], count = static_cast<double>(counts[k]);
    if (probabilities[k] == 0) {
      EXPECT_EQ(counts[k], 0) << "outcome " << k << " cannot occur";
    }
    if (expected >= 10) {
      judge(count, expected);
    } else {
      rare_expected += expected;
      rare_count += count;
    }
  }
  if (rare_expected >= 10) judge(rare_count, rare_expected);
  ASSERT_GE(outcomes, 2) << "too few draws to judge";
  const double freedom = outcomes - 1, spread = 2 / (9 * freedom);
  const double limit = freedom * std::pow(1 - spread + 3.0902 * std::sqrt(spread), 3);
  EXPECT_LT(statistic, limit) << "over " << outcomes << " outcomes";
}

inline void expect_uniform(const std::vector<std::int64_t>& counts) {
  const double total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  ASSERT_GE(total / static_cast<double>(counts.size()), 10.0) << "too few draws to judge";
  expect_distribution(counts, std::vector<double>(counts.size(), 1.0 / static_cast<double>(counts.size())));
}

}  // namespace swath::kernels::test
