// softplus and the logistic function without branches, the same bits on every device.
#pragma once
#include "kernels/portable_math.h"

namespace swath::kernels {

/// Of |x|: log(1 + e^−|x|), σ(|x|) and σ(−|x|), to a few ulp. NaN gives NaN.
struct Logistic {
  float log_term, upper, lower;
};

SWATH_HOST_DEVICE Logistic logistic(float x) {
  const float small = portable::exp(x < 0.0f ? x : -x), whole = portable::add(1.0f, small);
  // The rounding of 1 + small is undone by the ratio of small to what was really added (W. Kahan's log1p).
  const float added = portable::add(whole, -1.0f), divisor = added == 0.0f ? 1.0f : added;
  const float log_term = portable::mul(portable::log(whole), small / divisor);
  return {added == 0.0f ? small : log_term, 1.0f / whole, small / whole};
}

/// log(1 + e^x).
SWATH_HOST_DEVICE float softplus(float x) { return portable::add(x > 0.0f ? x : 0.0f, logistic(x).log_term); }

/// 1 / (1 + e^−x).
SWATH_HOST_DEVICE float sigmoid(float x) {
  const Logistic l = logistic(x);
  return x < 0.0f ? l.lower : l.upper;
}

}  // namespace swath::kernels
