// The numbers of one pair, column and row of moco_loss, the same on host and device. methods.md §6 "Fast MoCo".
#pragma once
#include <cmath>

#include "kernels/moco_loss.h"
#include "kernels/sphere_density.h"

namespace swath::kernels {

/// −log q of a pair's distance, from the product of two unit rows; −∞ beyond the cutoff.
struct MocoDensity {
  SphereDensity sphere;
  float upper_cutoff;

  SWATH_HOST_DEVICE float exponent(float product) const {
    const float squared = portable::fma(product, -2.0f, 2.0f);
    const float d = std::sqrt(squared < 0.0f ? 0.0f : squared);
    return d > upper_cutoff ? -INFINITY : -log_density(sphere, d);
  }
  /// The weight of a pair in a column with this shift and factor; a factor of 0 tells that no pair is within the cutoff.
  SWATH_HOST_DEVICE float weight(float product, float shift, float factor, float uniform) const {
    return factor == 0.0f ? uniform : portable::exp(exponent(product) - shift) * factor;
  }
};

SWATH_HOST_DEVICE MocoDensity moco_density(const MocoLossArgs& args) {
  return {sphere_density(args.cols, args.lower_cutoff), args.upper_cutoff};
}

/// Σ exp(v − shift) with shift the largest v so far; a NaN stays.
struct ExpSum {
  float shift = -INFINITY, sum = 0.0f;

  SWATH_HOST_DEVICE void add(float v) {
    if (v == -INFINITY) return;
    if (v <= shift) {
      sum += portable::exp(v - shift);
    } else {
      sum = sum * portable::exp(shift - v) + 1.0f;
      shift = v;
    }
  }
  SWATH_HOST_DEVICE void merge(const ExpSum& other) {
    if (other.shift == -INFINITY) return;
    if (other.shift <= shift) {
      sum += other.sum * portable::exp(other.shift - shift);
    } else {
      sum = sum * portable::exp(shift - other.shift) + other.sum;
      shift = other.shift;
    }
  }
};

/// A row from l⁺/τ and the sum of exp(l⁻/τ − shift) over the queue, shift ≥ l⁺/τ.
struct MocoRow {
  float loss;            // cross-entropy with class 0
  float negative_share;  // 1 − p_0, without cancellation
  float inv_total;       // p_j = exp(l_j/τ − shift) · inv_total
};

SWATH_HOST_DEVICE MocoRow moco_row(float positive, float shift, float negatives) {
  const float total = portable::exp(positive - shift) + negatives, inv_total = 1.0f / total;
  const float loss = shift == positive ? std::log1p(negatives) : (shift - positive) + std::log(total);
  return {loss, negatives * inv_total, inv_total};
}

}  // namespace swath::kernels
