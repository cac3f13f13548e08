// The density of distances between uniform points of a sphere, from the formula. methods.md §5 "Distance-weighted".
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace swath::reference {

template <class T>
T log_density(T d, std::int64_t width, T lower_cutoff) {
  d = std::max(d, lower_cutoff);
  const T cap = std::max(T(1) - d * d / T(4), T(1e-8));
  return T(width - 2) * std::log(d) + T(width - 3) / T(2) * std::log(cap);
}

}  // namespace swath::reference
