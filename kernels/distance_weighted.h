// Distance-weighted triplets, one per anchor. C.-Y. Wu et al., Sampling Matters, 2017; methods.md §5 "Distance-weighted".
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"
#include "kernels/philox.h"

namespace swath::kernels {

/// Positive: uniform. Negative: probability ∝ 1 / q(d_an), q the density of distances on the unit sphere (sphere_density.h);
/// with an upper cutoff only among {n : d_an ≤ upper_cutoff}; if none is left, uniform over all negatives. Candidates count in
/// ascending row order. The weight of a negative is ⌊2^30 · q_min / q(d_an)⌋, q_min the smallest q among those admitted:
/// integers, so that sums do not depend on their order, and draws are the same on every device. With
/// r = philox(seed, *step, stream, anchor), the positive is drawn by r.v[0], the negative by the 64 bits r.v[1], r.v[2] (by
/// r.v[1] where it is uniform). An anchor without a positive or a negative yields nothing. Rows from *row_count on and rows of
/// class −1 take no part. Triplets are in the order of their anchors; unused ones hold −1.
/// Cost: reads rows² floats once from memory and, on CUDA, 1.5 times again from cache; about 120 operations a pair on CUDA, 60
/// on the CPU; 2 launches; workspace 8 bytes a row.
struct DistanceWeightedArgs {
  const float* distance = nullptr;          // rows × rows, of rows of length 1: q is the density on the unit sphere
  const std::int32_t* row_class = nullptr;  // rows: class or −1
  const std::int32_t* row_count = nullptr;  // 1: rows in use; null: all
  const std::uint64_t* step = nullptr;      // 1
  std::int32_t* triplets = nullptr;         // rows × 3: anchor, positive, negative
  std::int32_t* triplet_count = nullptr;    // 1
  std::int64_t rows = 0;
  std::int64_t width = 0;     // D, the columns of the rows whose distances these are
  float lower_cutoff = 0.5f;  // > 0: smaller distances weigh as this one
  float upper_cutoff = 0.0f;  // farther negatives are excluded; 0: none are
  std::uint64_t seed = 0;
  RandomStream stream = RandomStream::miner;
  void* workspace = nullptr;  // distance_weighted_workspace(args) bytes, aligned to 8
};
void distance_weighted(const DistanceWeightedArgs& args, CudaStream exec);
void distance_weighted(const DistanceWeightedArgs& args, Cpu exec);
std::size_t distance_weighted_workspace(const DistanceWeightedArgs& args);

}  // namespace swath::kernels

// Budget: distance_weighted_kernel 40 registers, 128-bit loads.
