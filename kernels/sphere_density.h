// The density of distances between uniform points of a unit sphere, with the same bits on every device.
// C.-Y. Wu et al., Sampling Matters, 2017; methods.md §5 "Distance-weighted", §6 "Fast MoCo".
#pragma once
#include <cstdint>

#include "kernels/portable_math.h"

namespace swath::kernels {

/// log q(d) = (D − 2) log d + ((D − 3) / 2) log(1 − d²/4) for the unit sphere in D dimensions.
struct SphereDensity {
  float distance_factor;  // D − 2
  float cap_factor;       // (D − 3) / 2
  float lower_cutoff;     // > 0: smaller distances count as this one
};

SWATH_HOST_DEVICE SphereDensity sphere_density(std::int64_t width, float lower_cutoff) {
  return {static_cast<float>(width - 2), static_cast<float>(width - 3) * 0.5f, lower_cutoff};
}

/// log q(d), 1 − d²/4 clamped below at 1e-8. NaN counts as lower_cutoff. No branch; about 45 operations.
SWATH_HOST_DEVICE float log_density(const SphereDensity& sphere, float d) {
  constexpr float kSmallestCap = 1e-8f;
  const float distance = d > sphere.lower_cutoff ? d : sphere.lower_cutoff;
  const float cap = portable::fma(portable::mul(distance, -0.25f), distance, 1.0f);
  const float log_cap = portable::log(cap > kSmallestCap ? cap : kSmallestCap);
  return portable::fma(sphere.distance_factor, portable::log(distance), portable::mul(sphere.cap_factor, log_cap));
}

}  // namespace swath::kernels
