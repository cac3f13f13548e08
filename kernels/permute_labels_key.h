// What permute_labels sorts by, the same on host and device. methods.md §5 "Random-distance".
#pragma once
#include <cstdint>

#include "kernels/philox.h"

namespace swath::kernels {

SWATH_HOST_DEVICE std::uint64_t permutation_key(std::uint64_t seed, std::uint64_t step, std::int64_t row) {
  const Philox4 random = philox(seed, step, RandomStream::label_permutation, static_cast<std::uint64_t>(row));
  return (static_cast<std::uint64_t>(random.v[0]) << 32) | random.v[1];
}

}  // namespace swath::kernels
