// Triplets of random rows of one class by listing the rows of every class. methods.md §5 "Intra-random".
#pragma once
#include <array>
#include <cstdint>
#include <iterator>
#include <map>
#include <vector>

#include "kernels/philox.h"

namespace swath::reference {

inline std::vector<std::array<std::int32_t, 3>> intra_random(const std::vector<std::int32_t>& row_class, std::int64_t used,
                                                             std::uint64_t seed, std::uint64_t step) {
  std::map<std::int32_t, std::vector<std::int32_t>> classes;
  std::size_t members = 0;
  for (std::int32_t i = 0; i < used; ++i) {
    if (row_class[i] < 0) continue;
    classes[row_class[i]].push_back(i);
    ++members;
  }
  const auto pick = [](std::uint32_t bits, std::size_t n) {
    return static_cast<std::ptrdiff_t>((std::uint64_t{bits} * n) >> 32);
  };
  std::vector<std::array<std::int32_t, 3>> triplets;
  for (std::size_t t = 0; t < members; ++t) {
    const kernels::Philox4 r = kernels::philox(seed, step, kernels::RandomStream::intra_random, t);
    const auto& rows = std::next(classes.begin(), pick(r.v[0], classes.size()))->second;
    triplets.push_back({rows[pick(r.v[1], rows.size())], rows[pick(r.v[2], rows.size())], rows[pick(r.v[3], rows.size())]});
  }
  return triplets;
}

}  // namespace swath::reference
