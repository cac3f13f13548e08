// Multi-label semihard mining by sorting all rows and walking the list. methods.md §5 "Multi-label semihard".
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <set>
#include <vector>

#include "kernels/philox.h"

namespace swath::reference {

/// Rows as sets of classes; ⟨y_a, y_b⟩ is the size of the intersection.
using LabelSets = std::vector<std::set<std::int32_t>>;

inline int shared_labels(const std::set<std::int32_t>& a, const std::set<std::int32_t>& b) {
  return static_cast<int>(std::count_if(a.begin(), a.end(), [&](std::int32_t c) { return b.count(c) > 0; }));
}

struct MultilabelSemihard {
  std::int64_t stride = 0, used = 0;       // the distance matrix is stride × stride; rows from `used` on take no part
  std::int64_t negatives = 3, enough = 3;  // max_negatives_per_pos, max_trips_per_anchor
  std::uint64_t seed = 0, step = 0;
};

/// All triplets of an anchor in the order of the walk. `zeros`, when given, receives the candidates of its coarse draws.
inline std::vector<std::array<std::int32_t, 3>> multilabel_semihard_of(
    const MultilabelSemihard& m, const std::vector<float>& distance, const LabelSets& labels, std::int32_t anchor,
    std::vector<std::vector<std::int32_t>>* zeros = nullptr) {
  std::vector<std::array<std::int32_t, 3>> triplets;
  std::vector<int> similarity;
  for (std::int32_t j = 0; j < m.used; ++j) similarity.push_back(shared_labels(labels[anchor], labels[j]));
  std::vector<std::int32_t> order;
  for (std::int32_t j = 0; j < m.used; ++j) {
    if (!labels[j].empty()) order.push_back(j);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return distance[anchor * m.stride + a] < distance[anchor * m.stride + b];
  });
  std::uint32_t draws = 0;
  for (std::size_t place = order.size(); place-- > 0;) {
    const std::int32_t p = order[place];
    if (p == anchor || similarity[p] == 0) continue;
    std::vector<std::int32_t> nearer(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(place)), zero;
    std::sort(nearer.begin(), nearer.end());
    for (const std::int32_t n : nearer) {
      if (similarity[n] > 0 && similarity[n] < similarity[p]) triplets.push_back({anchor, p, n});
      if (similarity[n] == 0) zero.push_back(n);
    }
    if (zeros) zeros->push_back(zero);
    const auto z = static_cast<std::int64_t>(zero.size());
    for (std::int64_t k = 0; k < std::min(m.negatives, z); ++k, ++draws) {
      const auto r = kernels::philox(m.seed, m.step, kernels::RandomStream::miner, static_cast<std::uint64_t>(anchor), draws);
      triplets.push_back({anchor, p, zero[(std::uint64_t{r.v[0]} * zero.size()) >> 32]});
    }
    if (z > 0 && static_cast<std::int64_t>(triplets.size()) >= m.enough) break;
  }
  return triplets;
}

inline std::vector<std::array<std::int32_t, 3>> multilabel_semihard(const MultilabelSemihard& m,
                                                                    const std::vector<float>& distance,
                                                                    const LabelSets& labels) {
  std::vector<std::array<std::int32_t, 3>> triplets;
  for (std::int32_t i = 0; i < m.used; ++i) {
    if (labels[i].empty()) continue;
    for (const auto& t : multilabel_semihard_of(m, distance, labels, i)) triplets.push_back(t);
  }
  return triplets;
}

}  // namespace swath::reference
