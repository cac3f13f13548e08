// Triplets of three random rows of one random class. T. Milbich et al., DiVA, 2020; methods.md §5 "Intra-random".
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// As many triplets as there are rows in use with a class ≥ 0. For triplet t and r = philox(seed, *step, intra_random, t),
/// r.v[0] draws one of the classes present (in ascending order), r.v[1], r.v[2] and r.v[3] the anchor, the positive and the
/// negative among its rows (in ascending order), each uniformly and with replacement. Unused triplets hold −1.
/// Cost: rows² comparisons from cache, 2 launches (CUDA); a sort of the rows by class unless they are sorted (CPU); workspace
/// 16 bytes a row.
struct IntraRandomArgs {
  const std::int32_t* row_class = nullptr;  // rows: class or −1
  const std::int32_t* row_count = nullptr;  // 1: rows in use; null: all
  const std::uint64_t* step = nullptr;      // 1
  std::int32_t* triplets = nullptr;         // rows × 3: anchor, positive, negative
  std::int32_t* triplet_count = nullptr;    // 1
  std::int64_t rows = 0;
  std::uint64_t seed = 0;
  void* workspace = nullptr;  // intra_random_workspace(args) bytes, aligned to 8
};
void intra_random(const IntraRandomArgs& args, CudaStream exec);
void intra_random(const IntraRandomArgs& args, Cpu exec);
std::size_t intra_random_workspace(const IntraRandomArgs& args);

}  // namespace swath::kernels

// Budget: order_kernel 32 registers; draw_kernel 32 registers, 4228 bytes shared.
