// Counting and finding rows on CUDA, for the miners' draws.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/reduce.cuh"

namespace swath::kernels {

__device__ __forceinline__ std::int64_t rows_in_use(const std::int32_t* row_count, std::int64_t rows) {
  if (!row_count) return rows;
  const std::int64_t count = *row_count;
  return count < 0 ? 0 : (count < rows ? count : rows);
}

__device__ __forceinline__ std::uint32_t count_lanes(bool v) {
  return static_cast<std::uint32_t>(__popc(__ballot_sync(0xffffffffu, v)));
}

/// If these 32 rows, one a lane, hold the candidate with this rank, its lane, else −1 and the rank moves on.
__device__ __forceinline__ int find_lane(bool candidate, std::uint32_t& rank) {
  const unsigned ballot = __ballot_sync(0xffffffffu, candidate);
  const unsigned before = ballot & ((1u << (threadIdx.x % kWarp)) - 1u);
  const unsigned winner = __ballot_sync(0xffffffffu, candidate && static_cast<std::uint32_t>(__popc(before)) == rank);
  rank -= static_cast<std::uint32_t>(__popc(ballot));  // wraps once the candidate is found; the first hit counts
  return __ffs(static_cast<int>(winner)) - 1;
}

}  // namespace swath::kernels
