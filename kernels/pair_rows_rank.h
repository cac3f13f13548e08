// The draws of pair_rows, the same on host and device. methods.md §1 "pair rows".
#pragma once
#include <cstdint>

#include "kernels/philox.h"

namespace swath::kernels {

/// What draw `draw` of a class picks: a rank in [0, members) among the class's images. With members ≥ rows_per_class it is
/// entry `draw` of a shuffle (step i swaps place i with place p_i drawn from [i, members)) that is never stored: the place
/// drawn last is followed back through the earlier swaps. Place < i cannot occur at step i, so one comparison suffices.
SWATH_HOST_DEVICE std::uint32_t pair_rows_rank(std::uint64_t seed, std::uint64_t step, std::int64_t class_index,
                                               std::uint32_t draw, std::uint32_t members, std::int64_t rows_per_class) {
  const auto index = static_cast<std::uint64_t>(class_index);
  const std::uint32_t bits = philox(seed, step, RandomStream::pair_rows, index, draw).v[0];
  if (static_cast<std::int64_t>(members) < rows_per_class) return uniform_below(bits, members);
  std::uint32_t place = draw + uniform_below(bits, members - draw);
  for (std::uint32_t i = draw; i-- > 0;) {
    const std::uint32_t swapped = i + uniform_below(philox(seed, step, RandomStream::pair_rows, index, i).v[0], members - i);
    if (place == swapped) place = i;
  }
  return place;
}

}  // namespace swath::kernels
