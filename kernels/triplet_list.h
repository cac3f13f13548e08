// The list of triplets out of one pair of partners per anchor. methods.md §5.
#pragma once
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

}  // namespace swath::kernels

// Budget: triplet_list_kernel 32 registers, 2112 bytes shared.
