// The draw of one triplet out of rows sorted by class, the same on host and device. methods.md §5 "Intra-random".
#pragma once
#include <cstdint>

#include "kernels/intra_random.h"
#include "kernels/philox.h"

namespace swath::kernels {

/// `class_begin` holds where in an order of `members` rows each of the `classes` present begins; `row_at(place)` is the row at
/// a place of that order.
template <class RowAt>
SWATH_HOST_DEVICE void draw_intra_random(const IntraRandomArgs& args, std::int64_t t, const std::int32_t* class_begin,
                                         std::uint32_t classes, std::int32_t members, const RowAt& row_at) {
  const Philox4 random = philox(args.seed, *args.step, RandomStream::intra_random, static_cast<std::uint64_t>(t));
  const std::uint32_t c = uniform_below(random.v[0], classes);
  const auto begin = static_cast<std::uint32_t>(class_begin[c]);
  const auto end = static_cast<std::uint32_t>(c + 1 < classes ? class_begin[c + 1] : members);
  for (int k = 0; k < 3; ++k) args.triplets[3 * t + k] = row_at(begin + uniform_below(random.v[k + 1], end - begin));
}

}  // namespace swath::kernels
