// The permutation of labels as a sort of keyed rows. methods.md §5 "Random-distance".
#pragma once
#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

#include "kernels/philox.h"

namespace swath::reference {

inline std::vector<std::int32_t> permute_labels(const std::vector<std::int32_t>& row_class, std::int64_t used,
                                                std::uint64_t seed, std::uint64_t step) {
  using kernels::RandomStream;
  std::vector<std::tuple<std::uint32_t, std::uint32_t, std::size_t>> keyed;
  std::vector<std::size_t> members;
  for (std::size_t i = 0; i < row_class.size() && static_cast<std::int64_t>(i) < used; ++i) {
    if (row_class[i] < 0) continue;
    const kernels::Philox4 r = kernels::philox(seed, step, RandomStream::label_permutation, i);
    keyed.emplace_back(r.v[0], r.v[1], i);
    members.push_back(i);
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<std::int32_t> permuted(row_class.size(), -1);
  for (std::size_t r = 0; r < members.size(); ++r) permuted[members[r]] = row_class[std::get<2>(keyed[r])];
  return permuted;
}

}  // namespace swath::reference
