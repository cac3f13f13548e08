// Tensor-core products of a warp and asynchronous copies into shared memory, for sm_80 and later.
// In a product, lane = 4 · group + quad (group 0 … 7, quad 0 … 3). a: 16 × K, b: K × 8, c: 16 × 8, where
//   c[0 … 3] = C[group][2 quad], C[group][2 quad + 1], C[group + 8][2 quad], C[group + 8][2 quad + 1].
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/half.h"

namespace swath::kernels {

/// c += a · b with K = 8 in TF32. a: A[group][quad], A[group + 8][quad], A[group][quad + 4], A[group + 8][quad + 4];
/// b: B[quad][group], B[quad + 4][group]. Which k a lane's element stands for is free, as long as a and b agree.
__device__ __forceinline__ void mma_tf32(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// c += a · b with K = 16 in bf16, two neighbouring k in a register. a: A[group][2 quad], A[group + 8][2 quad],
/// A[group][2 quad + 8], A[group + 8][2 quad + 8]; b: B[2 quad][group], B[2 quad + 8][group].
__device__ __forceinline__ void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ std::uint32_t to_tf32(float x) {
  std::uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return rounded;
}

/// x ≈ high + low within 2^-21 |x| (H. Ootomo, R. Yokota, "Recovering single precision accuracy from Tensor Cores", 2022), in
/// three operations where a conversion to TF32 alone takes four. A product ignores the low 13 bits of its operands; `low` is
/// rounded with that in mind. An infinity or a NaN stays in `high`.
__device__ __forceinline__ std::uint32_t tf32_high(float x) {
  std::uint32_t high;
  // Volatile, because a loop that splits operands on the way has no registers to keep what it has split before.
  asm volatile("and.b32 %0, %1, 0xffffe000;" : "=r"(high) : "r"(__float_as_uint(x)));
  return high;
}
__device__ __forceinline__ std::uint32_t tf32_low(float x, std::uint32_t high) {
  return __float_as_uint(x - __uint_as_float(high)) + 0x1000u;
}

/// Two numbers as bf16, the first in the low half; what is left of them behind it: together 2^-17 |x|.
__device__ __forceinline__ void split_bf16(float x, float y, std::uint32_t& high, std::uint32_t& low) {
  const auto pack = [](float a, float b) {
    std::uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(b), "f"(a));
    return packed;
  };
  high = pack(x, y);
  low = pack(x - __uint_as_float(high << 16), y - __uint_as_float(high & 0xffff0000u));
}

__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// Four 8 × 8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8 (16 bytes, aligned). A lane
/// gets elements [group][2 quad] and [group][2 quad + 1] of each; transposed, [2 quad][group] and [2 quad + 1][group].
__device__ __forceinline__ void load_matrices(std::uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}

/// Copies the first `bytes` of 16 and writes zeros behind them.
__device__ __forceinline__ void copy_async16(void* shared, const void* global, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void copy_async8(void* shared, const void* global, int bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
}
/// Waits until this thread's copies have arrived; a barrier then shows them to the block.
__device__ __forceinline__ void wait_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

}  // namespace swath::kernels
