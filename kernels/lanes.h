// Sums on the CPU over 32 fixed lanes: vectorised without licence to reorder, so the result does not depend on the processor's
// vector width or the number of threads.
#pragma once
#include <cstdint>

namespace swath::kernels {

constexpr int kLanes = 32;

/// Σ term(k) for k in [0, n): lane k mod 32 sums its terms in ascending order, then the lanes fold pairwise.
template <class Term>
inline float lane_sum(std::int64_t n, const Term& term) {
  float lane[kLanes] = {};
  const std::int64_t whole = n / kLanes * kLanes;
  for (std::int64_t k = 0; k < whole; k += kLanes) {
    for (int l = 0; l < kLanes; ++l) lane[l] += term(k + l);
  }
  for (std::int64_t k = whole; k < n; ++k) lane[k - whole] += term(k);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

}  // namespace swath::kernels
