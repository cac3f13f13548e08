// Sums and extrema over a warp or a block, in one fixed order (results are reproducible bit for bit).
#pragma once
#include <cuda_runtime.h>

namespace swath::kernels {

constexpr int kWarp = 32;

struct SumOp {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct MaxOp {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};
struct MinOp {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};

/// Butterfly over all 32 lanes; every lane gets the result.
template <class Op, class T>
__device__ T warp_reduce(T v, Op op) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) v = op(v, __shfl_xor_sync(0xffffffffu, v, offset));
  return v;
}

/// Over a block whose size is a multiple of 32; every thread gets the result. `scratch` holds 33 values of T in shared memory.
template <class Op, class T>
__device__ T block_reduce(T v, Op op, T identity, T* scratch) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  v = warp_reduce(v, op);
  if (lane == 0) scratch[warp] = v;
  __syncthreads();
  if (warp == 0) {
    T total = lane < warps ? scratch[lane] : identity;
    total = warp_reduce(total, op);
    if (lane == 0) scratch[kWarp] = total;
  }
  __syncthreads();
  const T result = scratch[kWarp];
  __syncthreads();
  return result;
}

}  // namespace swath::kernels
