// The numbers of one pair, column and row of moco_loss, the same on host and device. methods.md §6 "Fast MoCo".
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/half.h"
#include "kernels/moco_loss.h"

namespace swath::kernels {

/// The natural logarithm of a positive normal number, to 1 ulp or so (a polynomial of S. Moshier's Cephes): plain operations,
/// so that a loop over it becomes vector code.
SWATH_HOST_DEVICE float moco_log(float x) {
  std::int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const std::int32_t exponent = (bits - 0x3f3504f3) >> 23;
  bits -= exponent * (1 << 23);
  float m;
  memcpy(&m, &bits, sizeof m);
  const float t = m - 1.0f, square = t * t;
  float y = 7.0376836292e-2f;
  y = y * t - 1.1514610310e-1f;
  y = y * t + 1.1676998740e-1f;
  y = y * t - 1.2420140846e-1f;
  y = y * t + 1.4249322787e-1f;
  y = y * t - 1.6668057665e-1f;
  y = y * t + 2.0000714765e-1f;
  y = y * t - 2.4999993993e-1f;
  y = y * t + 3.3333331174e-1f;
  const float n = static_cast<float>(exponent);
  return t + (y * t * square - 0.5f * square - 2.12194440e-4f * n) + 0.693359375f * n;
}

/// −log q of a pair's distance, from the product of two unit rows; −∞ beyond the cutoff.
struct MocoDensity {
  float linear, curved;     // (D − 2)/2, (D − 3)/2
  float nearest, farthest;  // squared cutoffs

  SWATH_HOST_DEVICE float exponent(float product) const {
    const float squared = 2.0f - 2.0f * product;
    const float clamped = squared < nearest ? nearest : squared;
    const float rest = 1.0f - 0.25f * clamped;
    const float value = -linear * moco_log(clamped) - curved * moco_log(rest < 1e-8f ? 1e-8f : rest);
    return squared > farthest ? -INFINITY : value;
  }
  /// The weight of a pair in a column with this shift and factor; a factor of 0 tells that no pair is within the cutoff.
  SWATH_HOST_DEVICE float weight(float product, float shift, float factor, float uniform) const {
    return factor == 0.0f ? uniform : std::exp(exponent(product) - shift) * factor;
  }
};

SWATH_HOST_DEVICE MocoDensity moco_density(const MocoLossArgs& args) {
  const float width = static_cast<float>(args.cols);
  return {0.5f * (width - 2.0f), 0.5f * (width - 3.0f), args.lower_cutoff * args.lower_cutoff,
          args.upper_cutoff * args.upper_cutoff};
}

/// Σ exp(v − shift) with shift the largest v so far; a NaN stays.
struct ExpSum {
  float shift = -INFINITY, sum = 0.0f;

  SWATH_HOST_DEVICE void add(float v) {
    if (v == -INFINITY) return;
    if (v <= shift) {
      sum += std::exp(v - shift);
    } else {
      sum = sum * std::exp(shift - v) + 1.0f;
      shift = v;
    }
  }
  SWATH_HOST_DEVICE void merge(const ExpSum& other) {
    if (other.shift == -INFINITY) return;
    if (other.shift <= shift) {
      sum += other.sum * std::exp(other.shift - shift);
    } else {
      sum = sum * std::exp(shift - other.shift) + other.sum;
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
  const float total = std::exp(positive - shift) + negatives, inv_total = 1.0f / total;
  const float loss = shift == positive ? std::log1p(negatives) : (shift - positive) + std::log(total);
  return {loss, negatives * inv_total, inv_total};
}

}  // namespace swath::kernels
