// bfloat16 storage type and its conversions, the same bits on host and device (round to nearest even).
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define SWATH_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define SWATH_HOST_DEVICE inline
#endif

namespace swath::kernels {

struct bf16 {
  std::uint16_t bits;
};

SWATH_HOST_DEVICE float to_float(float v) { return v; }

SWATH_HOST_DEVICE float to_float(bf16 v) {
  const std::uint32_t u = static_cast<std::uint32_t>(v.bits) << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

template <class T>
SWATH_HOST_DEVICE T from_float(float v);

template <>
SWATH_HOST_DEVICE float from_float<float>(float v) {
  return v;
}

template <>
SWATH_HOST_DEVICE bf16 from_float<bf16>(float v) {
  std::uint32_t u;
  memcpy(&u, &v, sizeof u);
  // Without a branch, so that a loop over it becomes vector code.
  const std::uint32_t quiet_nan = (u >> 16) | 0x40u, rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return bf16{static_cast<std::uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded)};
}

}  // namespace swath::kernels
