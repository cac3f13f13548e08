// Counting and finding rows on the CPU, for the miners' draws.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

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

constexpr std::int32_t kRowBlock = 128;  // rows that are counted together

/// Which rows of a block are admitted, a byte each: flagged by vector code, then read eight at a time.
struct RowFlags {
  std::uint8_t flag[kRowBlock] = {};

  template <class Admits>
  RowFlags(std::int32_t begin, std::int32_t used, const Admits& admits) {
    const std::int32_t count = std::min(kRowBlock, used - begin);
    for (std::int32_t j = 0; j < count; ++j) flag[j] = admits(begin + j) ? 1 : 0;
  }
  std::uint64_t eight(std::int32_t j) const {
    static_assert(std::endian::native == std::endian::little);
    std::uint64_t bytes;
    std::memcpy(&bytes, flag + j, sizeof bytes);
    return bytes;
  }
};

/// The row with this rank among those admitted from `begin` on, in ascending order; −1 if it lies behind the block.
template <class Admits>
std::int32_t find_in_block(std::int32_t begin, std::int32_t used, std::uint32_t rank, const Admits& admits) {
  const RowFlags flags(begin, used, admits);
  for (std::int32_t j = 0; j < kRowBlock; j += 8) {
    std::uint64_t eight = flags.eight(j);
    const auto count = static_cast<std::uint32_t>(std::popcount(eight));
    if (rank >= count) {
      rank -= count;
      continue;
    }
    for (; rank > 0; --rank) eight &= eight - 1;
    return begin + j + std::countr_zero(eight) / 8;
  }
  return -1;
}

/// The row with this rank among those admitted in [0, used), in ascending order; −1 if there are no more than `rank`.
template <class Admits>
std::int32_t find_row(std::int32_t used, std::uint32_t rank, const Admits& admits) {
  for (std::int32_t begin = 0; begin < used; begin += kRowBlock) {
    const std::uint32_t count = count_rows(begin, std::min(used, begin + kRowBlock), admits);
    if (rank < count) return find_in_block(begin, used, rank, admits);
    rank -= count;
  }
  return -1;
}

/// The rows admitted in [0, used) in ascending order. Returns how many.
template <class Admits>
std::int32_t list_rows(std::int32_t used, std::int32_t* listed, const Admits& admits) {
  std::int32_t n = 0;
  for (std::int32_t begin = 0; begin < used; begin += kRowBlock) {
    const RowFlags flags(begin, used, admits);
    for (std::int32_t j = 0; j < kRowBlock; j += 8) {
      for (std::uint64_t eight = flags.eight(j); eight != 0; eight &= eight - 1)
        listed[n++] = begin + j + std::countr_zero(eight) / 8;
    }
  }
  return n;
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
