// Equal rows by hash, confirmed bit for bit.
#include "retrieval/row_groups.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/parallel.h"

namespace swath {

RowGroups::RowGroups(EmbeddingView rows) {
  const auto n = rows.rows;
  const auto bytes = static_cast<std::size_t>(rows.dim) * sizeof(float);
  std::vector<std::pair<std::uint64_t, std::int64_t>> order(n);  // (hash, row)
  kernels::parallel_for(n, [&](std::int64_t i) { order[i] = {XXH3_64bits(rows.row(i), bytes), i}; });
  std::sort(order.begin(), order.end());

  // Rows of one hash lie together in ascending order; a row joins the first earlier row that it equals.
  std::vector<std::int64_t> leader(n);
  for (std::int64_t begin = 0, end = 0; begin < n; begin = end) {
    std::vector<std::int64_t> leaders;
    for (end = begin; end < n && order[end].first == order[begin].first; ++end) {
      const std::int64_t row = order[end].second;
      const auto equal = std::find_if(leaders.begin(), leaders.end(), [&](std::int64_t other) {
        return std::memcmp(rows.row(row), rows.row(other), bytes) == 0;
      });
      leader[row] = equal == leaders.end() ? row : *equal;
      if (leader[row] == row) leaders.push_back(row);
    }
  }

  // Counting sort by leader keeps members ascending.
  std::vector<std::int64_t> group(n);
  starts_.push_back(0);
  for (std::int64_t i = 0; i < n; ++i) {
    if (leader[i] == i) {
      group[i] = size();
      starts_.push_back(0);
    } else {
      group[i] = group[leader[i]];
    }
    ++starts_[group[i] + 1];
  }
  for (std::size_t g = 1; g < starts_.size(); ++g) starts_[g] += starts_[g - 1];
  members_.resize(n);
  std::vector<std::int64_t> next(starts_.begin(), starts_.end() - 1);
  for (std::int64_t i = 0; i < n; ++i) members_[next[group[i]]++] = i;
}

}  // namespace swath
