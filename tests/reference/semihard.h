// Semihard mining by listing the candidates of every anchor. methods.md §5 "Semihard".
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/philox.h"

namespace swath::reference {

struct Candidates {
  std::vector<std::int32_t> positives, negatives;  // what is drawn from; either empty: the anchor yields nothing
};

/// `distance` is n × n with n = stride; rows from `used` on and rows of class −1 take no part.
inline Candidates semihard_candidates(const std::vector<float>& distance, std::int64_t stride,
                                      const std::vector<std::int32_t>& row_class, std::int64_t used, std::int64_t anchor) {
  std::vector<std::int32_t> positives, negatives;
  std::vector<float> to_positives, to_negatives;
  for (std::int32_t j = 0; j < used; ++j) {
    if (j == anchor || row_class[j] < 0 || row_class[anchor] < 0) continue;
    const bool same = row_class[j] == row_class[anchor];
    (same ? positives : negatives).push_back(j);
    (same ? to_positives : to_negatives).push_back(distance[anchor * stride + j]);
  }
  if (positives.empty() || negatives.empty()) return {};
  const float farthest = *std::max_element(to_positives.begin(), to_positives.end());
  const float nearest = *std::min_element(to_negatives.begin(), to_negatives.end());
  Candidates hard;
  for (std::size_t k = 0; k < positives.size(); ++k) {
    if (to_positives[k] > nearest) hard.positives.push_back(positives[k]);
  }
  for (std::size_t k = 0; k < negatives.size(); ++k) {
    if (to_negatives[k] < farthest) hard.negatives.push_back(negatives[k]);
  }
  return {hard.positives.empty() ? positives : hard.positives, hard.negatives.empty() ? negatives : hard.negatives};
}

inline std::vector<std::array<std::int32_t, 3>> semihard(const std::vector<float>& distance, std::int64_t stride,
                                                         const std::vector<std::int32_t>& row_class, std::int64_t used,
                                                         std::uint64_t seed, std::uint64_t step) {
  std::vector<std::array<std::int32_t, 3>> triplets;
  for (std::int32_t i = 0; i < used; ++i) {
    const Candidates c = semihard_candidates(distance, stride, row_class, used, i);
    if (c.positives.empty() || c.negatives.empty()) continue;
    const kernels::Philox4 r = kernels::philox(seed, step, kernels::RandomStream::miner, static_cast<std::uint64_t>(i));
    triplets.push_back({i, c.positives[(std::uint64_t{r.v[0]} * c.positives.size()) >> 32],
                        c.negatives[(std::uint64_t{r.v[1]} * c.negatives.size()) >> 32]});
  }
  return triplets;
}

}  // namespace swath::reference
