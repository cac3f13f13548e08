// Distance-weighted mining by listing the candidates of every anchor with their probabilities. methods.md §5
// "Distance-weighted". Generic in the number type: double is the reference, float the naive loop that sets the tolerance.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/philox.h"
#include "tests/reference/sphere_density.h"

namespace swath::reference {

struct DensityOptions {
  std::int64_t width = 3;
  float lower_cutoff = 0.5f;
  float upper_cutoff = 0.0f;  // 0: none
};

/// What an anchor draws from; either list empty: it yields nothing.
template <class T>
struct WeightedCandidates {
  std::vector<std::int32_t> positives, negatives;
  std::vector<T> probability;  // of each negative
};

/// `distance` is n × n with n = stride; rows from `used` on and rows of class −1 take no part.
template <class T>
WeightedCandidates<T> weighted_candidates(const std::vector<float>& distance, std::int64_t stride,
                                          const std::vector<std::int32_t>& row_class, std::int64_t used, std::int64_t anchor,
                                          const DensityOptions& options) {
  WeightedCandidates<T> c;
  std::vector<T> exponent;
  T largest = -INFINITY;
  for (std::int32_t j = 0; j < used; ++j) {
    if (j == anchor || row_class[j] < 0 || row_class[anchor] < 0) continue;
    if (row_class[j] == row_class[anchor]) {
      c.positives.push_back(j);
      continue;
    }
    c.negatives.push_back(j);
    const float d = distance[anchor * stride + j];
    const bool admitted = options.upper_cutoff <= 0 || d <= options.upper_cutoff;
    exponent.push_back(admitted ? -log_density<T>(d, options.width, options.lower_cutoff) : -INFINITY);
    largest = std::max(largest, exponent.back());
  }
  T total = 0;
  for (const T e : exponent) {
    c.probability.push_back(std::isinf(largest) ? T(1) : std::exp(e - largest));
    total += c.probability.back();
  }
  for (T& p : c.probability) p /= total;
  return c;
}

}  // namespace swath::reference
