// Initial values of the memory bank, the same on host and device. methods.md §6.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/philox.h"

namespace swath::kernels {

/// 1/sqrt(cols / 3), rounded once on the host.
inline float bank_limit(std::int64_t cols) { return static_cast<float>(std::sqrt(3.0 / static_cast<double>(cols))); }

/// Elements 4 block … 4 block + 3. Scaling to [−1, 1) is exact, so that one rounding is left.
SWATH_HOST_DEVICE void bank_values(std::uint64_t seed, std::int64_t block, float limit, float (&values)[4]) {
  const Philox4 bits = philox(seed, 0, RandomStream::bank, static_cast<std::uint64_t>(block));
  for (int e = 0; e < 4; ++e) values[e] = (2.0f * uniform01(bits.v[e]) - 1.0f) * limit;
}

}  // namespace swath::kernels
