// What shuffle_rows sorts by, the same on host and device. methods.md §6 "Fast MoCo".
#pragma once
#include <cstdint>

#include "kernels/philox.h"

namespace swath::kernels {

SWATH_HOST_DEVICE std::uint64_t shuffle_key(std::uint64_t seed, std::uint64_t step, std::int64_t row) {
  // The shuffled sampler has draw 0 of this stream.
  const Philox4 random = philox(seed, step, RandomStream::shuffle, static_cast<std::uint64_t>(row), 1);
  return (static_cast<std::uint64_t>(random.v[0]) << 32) | random.v[1];
}

}  // namespace swath::kernels
