// The list of triplets out of one pair of partners per anchor. methods.md §5.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// Closes the gaps: anchors that have partners, in ascending order, become the triplets (anchor, positive, negative). Unused
/// triplets hold −1. Cost: reads 8 bytes a row and writes 12; 1 launch of one block; no workspace.
struct TripletListArgs {
  const std::int32_t* partners = nullptr;   // rows × 2: positive and negative, −1 each where the anchor yields nothing
  const std::int32_t* row_count = nullptr;  // 1: rows in use, whose partners are read; null: all
  std::int32_t* triplets = nullptr;         // rows × 3
  std::int32_t* triplet_count = nullptr;    // 1
  std::int64_t rows = 0;
};
void triplet_list(const TripletListArgs& args, CudaStream exec);
void triplet_list(const TripletListArgs& args, Cpu exec);

/// Of a miner of one triplet an anchor, whose workspace holds the partners.
template <class MinerArgs>
TripletListArgs triplet_list_of(const MinerArgs& args) {
  return {.partners = static_cast<const std::int32_t*>(args.workspace),
          .row_count = args.row_count,
          .triplets = args.triplets,
          .triplet_count = args.triplet_count,
          .rows = args.rows};
}
inline std::size_t partners_bytes(std::int64_t rows) { return static_cast<std::size_t>(rows) * 2 * sizeof(std::int32_t); }

}  // namespace swath::kernels

// Budget: triplet_list_kernel 32 registers, 2112 bytes shared.
