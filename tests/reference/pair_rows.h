// Pair rows by a stored shuffle of each class's images. methods.md §1 "pair rows".
#pragma once
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/philox.h"

namespace swath::reference {

struct PairRow {
  int image, category;
  bool operator==(const PairRow&) const = default;
};

/// `labels[i][c]`: image i carries class c.
inline std::vector<PairRow> pair_rows(const std::vector<std::vector<bool>>& labels, int classes, int k, std::uint64_t seed,
                                      std::uint64_t step) {
  std::vector<PairRow> rows;
  for (int c = 0; c < classes; ++c) {
    std::vector<int> members;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (labels[i][c]) members.push_back(static_cast<int>(i));
    }
    const auto count = static_cast<std::uint32_t>(members.size());
    for (int j = 0; count > 0 && j < k; ++j) {
      const auto draw = static_cast<std::uint32_t>(j);
      const std::uint64_t bits = kernels::philox(seed, step, kernels::RandomStream::pair_rows, c, draw).v[0];
      if (static_cast<int>(count) >= k) {
        std::swap(members[draw], members[draw + (bits * (count - draw) >> 32)]);
        rows.push_back({members[draw], c});
      } else {
        rows.push_back({members[bits * count >> 32], c});
      }
    }
  }
  return rows;
}

}  // namespace swath::reference
