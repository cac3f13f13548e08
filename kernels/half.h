// The 16-bit storage types bfloat16 and float16 and their conversions, the same bits on host and device (round to nearest
// even; every NaN becomes the type's quiet NaN).
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

#if defined(__CUDACC__)
#define SWATH_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define SWATH_HOST_DEVICE inline
#endif

namespace swath::kernels {

struct bf16 {
  std::uint16_t bits;
};

struct f16 {
  std::uint16_t bits;
};

SWATH_HOST_DEVICE std::uint32_t to_bits(float v) {
  std::uint32_t u;
  memcpy(&u, &v, sizeof u);
  return u;
}
SWATH_HOST_DEVICE float from_bits(std::uint32_t u) {
  float v;
  memcpy(&v, &u, sizeof v);
  return v;
}
/// Neither NaN nor an infinity; as bits, so that vector code comes of it and no flag of a compiler takes it away.
SWATH_HOST_DEVICE bool is_finite(float v) { return (to_bits(v) & 0x7f800000u) != 0x7f800000u; }

SWATH_HOST_DEVICE float to_float(float v) { return v; }

SWATH_HOST_DEVICE float to_float(bf16 v) { return from_bits(static_cast<std::uint32_t>(v.bits) << 16); }

SWATH_HOST_DEVICE float to_float(f16 v) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(v.bits));
#else
  // Exponent and fraction in float32's places are the value times 2^-112, subnormal or not.
  const std::uint32_t sign = static_cast<std::uint32_t>(v.bits & 0x8000u) << 16,
                      rest = static_cast<std::uint32_t>(v.bits & 0x7fffu) << 13;
  const std::uint32_t finite = to_bits(from_bits(rest) * 0x1p112f);
  return from_bits(sign | (rest >= 0x0f800000u ? rest | 0x7f800000u : finite));
#endif
}

template <class T>
SWATH_HOST_DEVICE T from_float(float v);

template <>
SWATH_HOST_DEVICE float from_float<float>(float v) {
  return v;
}

template <>
SWATH_HOST_DEVICE bf16 from_float<bf16>(float v) {
  const std::uint32_t u = to_bits(v);
  // Without a branch, so that a loop over it becomes vector code.
  const std::uint32_t quiet_nan = (u >> 16) | 0x40u, rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return bf16{static_cast<std::uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded)};
}

template <>
SWATH_HOST_DEVICE f16 from_float<f16>(float v) {
#if defined(__CUDA_ARCH__)
  return f16{static_cast<std::uint16_t>(v != v ? 0x7e00u : __half_as_ushort(__float2half_rn(v)))};
#else
  // Without branches, as above: below 2^-14 the sum with 0.5 rounds to the spacing of subnormals; from 65520 on the rounding
  // carries into the exponent of infinity.
  const std::uint32_t u = to_bits(v), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
  const std::uint32_t small = to_bits(from_bits(magnitude) + 0.5f) - 0x3f000000u;
  const std::uint32_t normal = ((magnitude + 0xfffu + ((magnitude >> 13) & 1u)) >> 13) - (112u << 10);
  const std::uint32_t large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  const std::uint32_t finite = magnitude < 0x38800000u ? small : normal;
  return f16{static_cast<std::uint16_t>((magnitude > 0x7f800000u ? 0u : sign) | (magnitude >= 0x47800000u ? large : finite))};
#endif
}

}  // namespace swath::kernels
