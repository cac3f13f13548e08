// Miners of one triplet an anchor, on the CPU: the anchors side by side. methods.md §5.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/parallel.h"
#include "kernels/row_search.h"
#include "kernels/triplet_list.h"

namespace swath::kernels {

/// One anchor's row of the distance matrix, with the rows in use.
struct Anchor {
  const float* distance;
  const std::int32_t* row_class;
  std::int32_t used;
  std::int32_t index;
  std::int32_t own_class;
};

/// mine(anchor, partners) writes the positive and the negative of an anchor, −1 each where it yields nothing, for some `cost`
/// operations a row. Rows of class −1 are no anchors.
template <class Args, class Mine>
void mine_anchors(const Args& args, std::int64_t cost, const Mine& mine) {
  constexpr std::int64_t kAnchors = 16;  // of a task
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  auto* partners = static_cast<std::int32_t*>(args.workspace);
  const auto mine_anchor = [&](std::int64_t i) {
    partners[2 * i] = partners[2 * i + 1] = -1;
    if (args.row_class[i] < 0) return;
    mine(Anchor{args.distance + i * args.rows, args.row_class, static_cast<std::int32_t>(used), static_cast<std::int32_t>(i),
                args.row_class[i]},
         partners + 2 * i);
  };
  parallel_tasks((used + kAnchors - 1) / kAnchors,
                 [&](std::int64_t task) {
                   for (std::int64_t i = task * kAnchors; i < std::min(used, (task + 1) * kAnchors); ++i) mine_anchor(i);
                 },
                 serial_below_for(kAnchors * cost * used));
  triplet_list(triplet_list_of(args), Cpu{});
}

}  // namespace swath::kernels
