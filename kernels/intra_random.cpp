// Triplets of three random rows of one random class, on the CPU. methods.md §5.
#include "kernels/intra_random.h"

#include <algorithm>

#include "kernels/intra_random_draw.h"
#include "kernels/parallel.h"
#include "kernels/row_search.h"

namespace swath::kernels {

std::size_t intra_random_workspace(const IntraRandomArgs& args) {
  return static_cast<std::size_t>(args.rows) * (sizeof(std::uint64_t) + 2 * sizeof(std::int32_t));
}

void intra_random(const IntraRandomArgs& args, Cpu) {
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  auto* order = static_cast<std::uint64_t*>(args.workspace);  // class in the high half, row in the low half
  auto* class_begin = reinterpret_cast<std::int32_t*>(order + args.rows);
  std::int32_t members = 0;
  for (std::int64_t i = 0; i < used; ++i) {
    if (args.row_class[i] < 0) continue;
    order[members++] = (static_cast<std::uint64_t>(args.row_class[i]) << 32) | static_cast<std::uint64_t>(i);
  }
  // Pair rows are sorted already.
  if (!std::is_sorted(order, order + members)) std::sort(order, order + members);
  std::uint32_t classes = 0;
  for (std::int32_t place = 0; place < members; ++place) {
    if (place == 0 || (order[place] >> 32) != (order[place - 1] >> 32)) class_begin[classes++] = place;
  }
  const auto row_at = [order](std::uint32_t place) { return static_cast<std::int32_t>(order[place] & 0xffffffffu); };
  parallel_for(
      members, [&](std::int64_t t) { draw_intra_random(args, t, class_begin, classes, members, row_at); },
      serial_below_for(10));
  *args.triplet_count = members;
  std::fill(args.triplets + 3 * std::int64_t{members}, args.triplets + 3 * args.rows, -1);
}

}  // namespace swath::kernels
