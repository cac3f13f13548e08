// Semihard triplets, one per anchor. methods.md §5 "Semihard".
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// Positive: uniform over {p : d_ap > min_n d_an}, else over all positives. Negative: uniform over {n : d_an < max_p d_ap},
/// else over all negatives. Candidates count in ascending row order; with r = philox(seed, *step, miner, anchor), the positive
/// is drawn by r.v[0], the negative by r.v[1]. An anchor without a positive or a negative yields nothing. Rows from *row_count
/// on and rows of class −1 take no part. Triplets are in the order of their anchors; unused ones hold −1.
/// Cost: reads rows² floats once from memory (a second time from cache); 2 launches; workspace 8 bytes a row.
struct SemihardArgs {
  const float* distance = nullptr;          // rows × rows
  const std::int32_t* row_class = nullptr;  // rows: class or −1
  const std::int32_t* row_count = nullptr;  // 1: rows in use; null: all
  const std::uint64_t* step = nullptr;      // 1
  std::int32_t* triplets = nullptr;         // rows × 3: anchor, positive, negative
  std::int32_t* triplet_count = nullptr;    // 1
  std::int64_t rows = 0;
  std::uint64_t seed = 0;
  void* workspace = nullptr;  // semihard_workspace(args) bytes, aligned to 8
};
void semihard(const SemihardArgs& args, CudaStream exec);
void semihard(const SemihardArgs& args, Cpu exec);
std::size_t semihard_workspace(const SemihardArgs& args);

}  // namespace swath::kernels

// Budget: semihard_kernel 48 registers.
