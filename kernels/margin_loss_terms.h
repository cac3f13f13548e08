// What margin_loss computes per triplet, the same on host and device. methods.md §6 "Margin".
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/half.h"
#include "kernels/margin_loss.h"

namespace swath::kernels {

constexpr float kMarginDistanceFloor = 1e-8f;  // added to the squared distance

/// One triplet. With finite values a part of the loss is active exactly if its factor is > 0 (distances are at least 1e-4).
struct alignas(16) MarginTerms {
  float pull;      // 1 / d_ap if l⁺ > 0, else 0: the factor of (anchor − positive) in the gradient of d_ap
  float push;      // 1 / d_an if l⁻ > 0, else 0
  float loss;      // l⁺ + l⁻
  float abs_beta;  // |β| of the anchor
};

SWATH_HOST_DEVICE MarginTerms margin_terms(const MarginLossArgs& args, float beta, float d_ap, float d_an) {
  const float too_far = d_ap - beta + args.margin, too_near = beta - d_an + args.margin;
  // Written so that a NaN counts as active and reaches the loss, where the trainer sees it.
  const bool pulls = !(too_far <= 0.0f), pushes = !(too_near <= 0.0f);
  return {pulls ? 1.0f / d_ap : 0.0f, pushes ? 1.0f / d_an : 0.0f, (pulls ? too_far : 0.0f) + (pushes ? too_near : 0.0f),
          std::fabs(beta)};
}

/// Whether the triplet is one of A.
SWATH_HOST_DEVICE bool is_active(const MarginTerms& terms) { return !(terms.loss == 0.0f); }

/// Which β triplet t uses.
SWATH_HOST_DEVICE std::int64_t beta_index(const MarginLossArgs& args, std::int64_t t) {
  return args.beta_kind == MarginBeta::scalar ? 0 : args.row_class[args.triplets[3 * t]];
}

SWATH_HOST_DEVICE float sign(float v) { return v > 0.0f ? 1.0f : (v < 0.0f ? -1.0f : 0.0f); }

}  // namespace swath::kernels
