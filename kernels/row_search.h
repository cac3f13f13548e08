// Counting and finding rows on the CPU, for the miners' draws.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/philox.h"

namespace swath::kernels {

inline std::int64_t rows_in_use(const std::int32_t* row_count, std::int64_t rows) {
  return row_count ? std::clamp<std::int64_t>(*row_count, 0, rows) : rows;
}

/// How many rows from `begin` to `end` the predicate admits. It must be cheap and without branches: the loop is vector code.
template <class Admits>
std::uint32_t count_rows(std::int32_t begin, std::int32_t end, const Admits& admits) {
  std::uint32_t count = 0;
  for (std::int32_t j = begin; j < end; ++j) count += static_cast<std::uint32_t>(admits(j));
  return count;
}

/// The row with this rank among those admitted in [0, used), in ascending order; −1 if there are no more than `rank`.
template <class Admits>
std::int32_t find_row(std::int32_t used, std::uint32_t rank, const Admits& admits) {
  constexpr std::int32_t kBlock = 128;
  for (std::int32_t begin = 0; begin < used; begin += kBlock) {
    const std::int32_t end = std::min(used, begin + kBlock);
    const std::uint32_t count = count_rows(begin, end, admits);
    if (rank < count) {
      std::int32_t j = begin;
      while (!(admits(j) && rank-- == 0)) ++j;
      return j;
    }
    rank -= count;
  }
  return -1;
}

/// Draws uniformly among the rows other than `self` that the predicate admits; −1 if there are none. (A predicate that compared
/// its row with `self` would make the loops twice as slow.)
template <class Admits>
std::int32_t draw_row(std::int32_t used, std::int32_t self, std::uint32_t bits, const Admits& admits) {
  const std::uint32_t own = admits(self) ? 1 : 0, count = count_rows(0, used, admits) - own;
  if (count == 0) return -1;
  std::uint32_t rank = uniform_below(bits, count);
  if (own == 1 && rank >= count_rows(0, self, admits)) ++rank;
  return find_row(used, rank, admits);
}

}  // namespace swath::kernels
