// Counting and finding rows on the CPU, for the miners' draws.
#pragma once
#include <algorithm>
#include <cstdint>

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

}  // namespace swath::kernels
