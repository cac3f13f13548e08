// One row after the other enters by a shortest path over reduced costs cost(i, j) − u_i − v_j, which stay ≥ 0, and are 0 on
// the assignment.
#include "retrieval/hungarian.h"

#include <limits>

#include "engine/core/error.h"

namespace swath {
namespace {

constexpr std::int64_t kFree = -1;

struct Assignment {
  const std::vector<double>& cost;
  std::int64_t n;
  std::vector<double> u, v;
  std::vector<std::int64_t> row_of;  // of a column

  /// The nearest free column to `row` by alternating paths, and for every column the one before it on its path.
  std::int64_t search(std::int64_t row, std::vector<std::int64_t>& before) {
    const double infinity = std::numeric_limits<double>::infinity();
    std::vector<double> length(static_cast<std::size_t>(n), infinity);
    std::vector<std::int64_t> reached;  // columns whose shortest path is known
    std::vector<char> known(static_cast<std::size_t>(n), 0);
    double shortest = 0;
    std::int64_t from = row, last = kFree;
    while (true) {
      std::int64_t next = kFree;
      for (std::int64_t j = 0; j < n; ++j) {
        if (known[j]) continue;
        const double to = shortest + cost[from * n + j] - u[from] - v[j];
        if (to < length[j]) {
          length[j] = to;
          before[j] = last;
        }
        if (next == kFree || length[j] < length[next]) next = j;
      }
      shortest = length[next];
      if (row_of[next] == kFree) {
        u[row] += shortest;
        for (const std::int64_t j : reached) {
          u[row_of[j]] += shortest - length[j];
          v[j] -= shortest - length[j];
        }
        return next;
      }
      known[next] = 1;
      reached.push_back(next);
      last = next;
      from = row_of[next];
    }
  }

  void add(std::int64_t row) {
    std::vector<std::int64_t> before(static_cast<std::size_t>(n), kFree);
    for (std::int64_t j = search(row, before); j != kFree; j = before[j])
      row_of[j] = before[j] == kFree ? row : row_of[before[j]];
  }
};

}  // namespace

std::vector<std::int64_t> hungarian(const std::vector<double>& cost, std::int64_t n) {
  SWATH_CHECK(n >= 0 && static_cast<std::int64_t>(cost.size()) == n * n, "{} costs for {} rows", cost.size(), n);
  const auto size = static_cast<std::size_t>(n);
  Assignment assignment{cost, n, std::vector<double>(size, 0), std::vector<double>(size, 0),
                        std::vector<std::int64_t>(size, kFree)};
  for (std::int64_t i = 0; i < n; ++i) assignment.add(i);
  std::vector<std::int64_t> column_of(size);
  for (std::int64_t j = 0; j < n; ++j) column_of[assignment.row_of[j]] = j;
  return column_of;
}

}  // namespace swath
