// softplus and the logistic function, the same bits on every device. No branch, and no condition twice, so that loops over them
// become vector code.
#pragma once
#include <cmath>

#include "kernels/portable_math.h"

namespace swath::kernels {

struct Logistic {
  float softplus;  // log(1 + e^x)
  float sigmoid;   // 1 / (1 + e^−x)
};

/// Both within a few ulp for every x; NaN gives NaN. About 40 operations, two of them divisions.
SWATH_HOST_DEVICE Logistic logistic(float x) {
  const float distance = std::fabs(x), small = portable::exp(-distance);
  // log(1 + t) = 2 artanh(s) with s = t / (2 + t) ≤ 1/3; artanh(s) = s + s³ p(s²), p a minimax polynomial.
  const float s = small / portable::add(2.0f, small), square = portable::mul(s, s);
  float p = 0x1.1ed7bep-3f;
  p = portable::fma(p, square, 0x1.1ebd0ep-3f);
  p = portable::fma(p, square, 0x1.99d208p-3f);
  p = portable::fma(p, square, 0x1.555502p-2f);
  const float artanh = portable::fma(portable::mul(square, s), p, s);
  return {portable::fma(2.0f, artanh, x > 0.0f ? x : 0.0f), (x < 0.0f ? small : 1.0f) / portable::add(1.0f, small)};
}

/// log(1 + e^x).
SWATH_HOST_DEVICE float softplus(float x) { return logistic(x).softplus; }

/// 1 / (1 + e^−x).
SWATH_HOST_DEVICE float sigmoid(float x) { return logistic(x).sigmoid; }

}  // namespace swath::kernels
