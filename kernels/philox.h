// Counter-based random numbers, Philox4x32-10 (J. Salmon et al., SC 2011), equal on host and device.
// A draw is fixed by (seed, step, stream, index): no state is kept between calls.
#pragma once
#include <Random123/philox.h>

#include <cstdint>

#include "kernels/half.h"

namespace swath::kernels {

/// The purpose of a draw. Two purposes never share numbers, so adding a consumer does not disturb another.
enum class RandomStream : std::uint32_t {
  augment = 1,
  pair_rows = 2,
  miner = 3,
  dropout = 4,
  sampler = 5,
  init = 6,
  split = 7,
  scenes = 8,
  bank = 9,
  shuffle = 10,
  label_permutation = 11,
  random_distance = 12,
  intra_random = 13,
  tsne = 14,
};

struct Philox4 {
  std::uint32_t v[4];
};

/// Four 32-bit numbers. `index` is the element (row, anchor, …), `draw` counts further draws of that element.
SWATH_HOST_DEVICE Philox4 philox(std::uint64_t seed, std::uint64_t step, RandomStream stream, std::uint64_t index,
                                 std::uint32_t draw = 0) {
  // 128-bit counter: index (40 bits), draw (24 bits), step (64 bits); the key mixes seed and stream.
  const r123::Philox4x32::ctr_type counter = {{static_cast<std::uint32_t>(index),
                                               static_cast<std::uint32_t>((index >> 32) & 0xffu) | (draw << 8),
                                               static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32)}};
  const r123::Philox4x32::key_type key = {
      {static_cast<std::uint32_t>(seed) ^ (static_cast<std::uint32_t>(stream) * 0x9E3779B9u),
       static_cast<std::uint32_t>(seed >> 32) + static_cast<std::uint32_t>(stream)}};
  const r123::Philox4x32::ctr_type r = r123::Philox4x32{}(counter, key);
  return Philox4{{r[0], r[1], r[2], r[3]}};
}

/// Uniform in [0, 1) with 24 bits.
SWATH_HOST_DEVICE float uniform01(std::uint32_t bits) { return static_cast<float>(bits >> 8) * (1.0f / 16777216.0f); }

/// Uniform integer in [0, n), n ≤ 2^32, by the high half of a 32 × 32-bit product (bias below n / 2^32).
SWATH_HOST_DEVICE std::uint32_t uniform_below(std::uint32_t bits, std::uint32_t n) {
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(bits) * n) >> 32);
}

}  // namespace swath::kernels
