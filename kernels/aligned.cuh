// Loads and stores of one or four floats, and the test for when four are allowed.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace swath::kernels {

template <int kWidth>
struct Floats {
  float value[kWidth];
};

template <int kWidth>
__device__ __forceinline__ Floats<kWidth> load(const float* p) {
  static_assert(kWidth == 1 || kWidth == 4);
  if constexpr (kWidth == 4) {
    const float4 v = *reinterpret_cast<const float4*>(p);
    return {v.x, v.y, v.z, v.w};
  } else {
    return {*p};
  }
}

/// To global memory, in one instruction: the compiler splits the assignment of a float4 into four where values come from a
/// loop.
template <int kWidth>
__device__ __forceinline__ void store(float* p, const Floats<kWidth>& v) {
  if constexpr (kWidth == 4) {
    __stwb(reinterpret_cast<float4*>(p), make_float4(v.value[0], v.value[1], v.value[2], v.value[3]));
  } else {
    *p = v.value[0];
  }
}

/// To shared memory.
__device__ __forceinline__ void store_shared(float* p, const Floats<4>& v) {
  *reinterpret_cast<float4*>(p) = make_float4(v.value[0], v.value[1], v.value[2], v.value[3]);
}

/// Whether every row of a matrix with this base, leading dimension and width is whole aligned groups of four floats.
inline bool quads(std::int64_t cols, const float* base, std::int64_t ld) {
  return cols % 4 == 0 && ld % 4 == 0 && reinterpret_cast<std::uintptr_t>(base) % 16 == 0;
}

}  // namespace swath::kernels
