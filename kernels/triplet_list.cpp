// The list of triplets out of one pair of partners per anchor, on the CPU. methods.md §5.
#include "kernels/triplet_list.h"

#include <algorithm>

#include "kernels/row_search.h"

namespace swath::kernels {

void triplet_list(const TripletListArgs& args, Cpu) {
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < used; ++i) {
    if (args.partners[2 * i] < 0) continue;
    args.triplets[3 * count] = static_cast<std::int32_t>(i);
    args.triplets[3 * count + 1] = args.partners[2 * i];
    args.triplets[3 * count + 2] = args.partners[2 * i + 1];
    ++count;
  }
  *args.triplet_count = static_cast<std::int32_t>(count);
  std::fill(args.triplets + 3 * count, args.triplets + 3 * args.rows, -1);
}

}  // namespace swath::kernels
