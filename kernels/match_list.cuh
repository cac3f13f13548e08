// The threads of a block for which a condition holds, listed in ascending order in shared memory: the base of sums that need
// one order and no float atomics.
#pragma once
#include "kernels/reduce.cuh"

namespace swath::kernels {

template <int kBlock>
struct MatchList {
  static constexpr int kWarps = kBlock / kWarp;
  int thread[kBlock];
  int warp_count[kWarps];

  /// Every thread of the block calls this; returns the number of threads with `match`, whose indices are in `thread` until the
  /// next call.
  __device__ int collect(bool match) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const unsigned ballot = __ballot_sync(0xffffffffu, match);
    if (lane == 0) warp_count[warp] = __popc(ballot);
    __syncthreads();  // also: the previous list has been read
    int before = 0, total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      before += w < warp ? warp_count[w] : 0;
      total += warp_count[w];
    }
    if (match) thread[before + __popc(ballot & ((1u << lane) - 1u))] = threadIdx.x;
    __syncthreads();
    return total;
  }
};

}  // namespace swath::kernels
