// Euclidean distances between all rows, in full float32 with one fixed order of sums. methods.md §4.
#pragma once
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// d_ij = sqrt(max(0, |x_i|² + |x_j|² − 2⟨x_i, x_j⟩)), d_ii = 0. Every inner product is one chain of fused multiply-adds
/// over the columns in ascending order, so that the result is symmetric and has the same bits on every device.
/// Cost: rows² · cols multiply-adds (half of it, the matrix being symmetric), reads x ⌈rows / 32⌉ times from cache,
/// writes rows² floats; 1 launch; no workspace.
struct PairwiseDistanceArgs {
  const float* x = nullptr;   // rows × cols, rows x_ld apart
  float* distance = nullptr;  // rows × rows
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t x_ld = 0;
};
void pairwise_distance(const PairwiseDistanceArgs& args, CudaStream exec);
void pairwise_distance(const PairwiseDistanceArgs& args, Cpu exec);

}  // namespace swath::kernels

// Budget: pairwise_distance_kernel 40 registers, 13184 bytes shared, 128-bit loads.
// No tensor cores: the sets from which miners draw depend on these distances, so products are full float32.
