// The integer weight of a negative and the draw by such weights, the same on host and device. methods.md §5
// "Distance-weighted".
#pragma once
#include <cstdint>
#include <limits>

#include "kernels/distance_weighted.h"
#include "kernels/sphere_density.h"

namespace swath::kernels {

/// What decides whether a row is a negative of an anchor, and its weight.
struct NegativeWeight {
  SphereDensity sphere;
  float upper_cutoff;  // ∞: off

  SWATH_HOST_DEVICE explicit NegativeWeight(const DistanceWeightedArgs& args)
      : sphere(sphere_density(args.width, args.lower_cutoff)),
        upper_cutoff(args.upper_cutoff > 0.0f ? args.upper_cutoff : std::numeric_limits<float>::infinity()) {}

  /// −log q(d); −∞ for a row that is not admitted (`negative` false, too far, or NaN).
  SWATH_HOST_DEVICE float exponent(bool negative, float d) const {
    const float value = -log_density(sphere, d);
    return negative & (d <= upper_cutoff) ? value : -std::numeric_limits<float>::infinity();
  }
};

/// ⌊2^30 e^(exponent − largest)⌋ for exponent ≤ largest; 0 where the difference is not a number.
SWATH_HOST_DEVICE std::int32_t integer_weight(float exponent, float largest) {
  constexpr float kNegligible = -20.8f;  // below −30 log 2
  const float difference = portable::add(exponent, -largest);
  const float power = difference > kNegligible ? difference : kNegligible;
  return static_cast<std::int32_t>(portable::mul(portable::exp(power), 1073741824.0f));
}

/// Uniform in [0, total) by 64 bits (bias below total / 2^64).
SWATH_HOST_DEVICE std::uint64_t uniform_below(std::uint32_t high, std::uint32_t low, std::uint64_t total) {
  const std::uint64_t bits = (static_cast<std::uint64_t>(high) << 32) | low;
#if defined(__CUDA_ARCH__)
  return __umul64hi(bits, total);
#else
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(bits) * total) >> 64);
#endif
}

}  // namespace swath::kernels
