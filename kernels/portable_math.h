// Float arithmetic with the same bits on every device: each fused multiply-add is written out and no library function is
// called. On the host the file that includes this is compiled with -ffp-contract=off (kernels/CMakeLists.txt), so that none is
// added; on the device the intrinsics keep the compiler from adding any. GCC turns loops over log and exp into vector code with
// -fno-math-errno -fno-trapping-math.
#pragma once
#include <cstdint>
#include <limits>

#include "kernels/half.h"

namespace swath::kernels::portable {

SWATH_HOST_DEVICE float fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

SWATH_HOST_DEVICE float add(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}

SWATH_HOST_DEVICE float mul(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

/// The natural logarithm, within 1 ulp. −∞ for everything below the smallest normal number, zero and negatives included;
/// ∞ and NaN return themselves. No branch; about 20 operations.
SWATH_HOST_DEVICE float log(float x) {
  // x = (1 + f) 2^e with 1 + f in [2/3, 4/3); log(1 + f) = f − f²/2 + f³ p(f), p a minimax polynomial.
  const std::uint32_t bits = to_bits(x), shifted = bits - 0x3f2aaaabu;
  const float e = static_cast<float>(static_cast<std::int32_t>(shifted) >> 23);
  const float f = add(from_bits(bits - (shifted & 0xff800000u)), -1.0f);
  float p = -0x1.08058cp-3f;
  p = fma(p, f, 0x1.1e66bcp-3f);
  p = fma(p, f, -0x1.f3113ep-4f);
  p = fma(p, f, 0x1.1ed716p-3f);
  p = fma(p, f, -0x1.559dccp-3f);
  p = fma(p, f, 0x1.99d028p-3f);
  p = fma(p, f, -0x1.fffefp-3f);
  p = fma(p, f, 0x1.555506p-2f);
  const float square = mul(f, f);
  float y = fma(p, f, -0.5f);
  y = fma(y, square, f);
  y = fma(e, 0x1.62e43p-1f, fma(e, -0x1.05c61p-29f, y));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  y = x < std::numeric_limits<float>::min() ? -kInfinity : y;
  return x < kInfinity ? y : x;
}

/// e^x, within 1.01 ulp. Results below the smallest normal number are 0; NaN returns itself. No branch; about 15 operations.
SWATH_HOST_DEVICE float exp(float x) {
  // x = n log 2 + r with |r| ≤ log(2) / 2. Adding 1.5 · 2^23 rounds to an integer, which the low bits then hold.
  constexpr float kRound = 12582912.0f;
  const float shifted = fma(x, 0x1.715476p+0f, kRound), n = add(shifted, -kRound);
  const float r = fma(n, 0x1.05c61p-29f, fma(n, -0x1.62e43p-1f, x));
  float p = 0x1.6a23fp-10f;
  p = fma(p, r, 0x1.123a0ap-7f);
  p = fma(p, r, 0x1.5558f2p-5f);
  p = fma(p, r, 0x1.555492p-3f);
  p = fma(p, r, 0x1.fffffcp-2f);
  const float mantissa = add(fma(mul(r, r), p, r), 1.0f);
  float y = from_bits(to_bits(mantissa) + (to_bits(shifted) << 23));
  y = x < -0x1.5d589ep+6f ? 0.0f : y;
  y = x > 0x1.62e42ep+6f ? std::numeric_limits<float>::infinity() : y;
  return x == x ? y : x;
}

}  // namespace swath::kernels::portable
