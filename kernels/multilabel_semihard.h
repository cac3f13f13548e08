// Semihard triplets of multi-hot rows. methods.md §5 "Multi-label semihard".
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// Rows from *row_count on and rows without label take no part. For anchor i the others are ordered by (d_ij, j): a row is
/// nearer than another when it comes before it, so of two at the same distance the lower index is. The positives, s_ip > 0 and
/// p ≠ i, are walked from the farthest to the nearest. Each yields
///   fine triplets (i, p, n) with every n nearer than p with 0 < s_in < s_ip, in ascending row order, then
///   coarse triplets with min(max_negatives_per_pos, z) draws, with replacement, from the z rows nearer than p with s_in = 0.
/// The draws of anchor i are numbered k = 0, 1, … over all its positives; draw k takes candidate ⌊u · z / 2³²⌋ in ascending row
/// order, u = philox(seed, *step, miner, i, k).v[0]. After a positive with z > 0, an anchor with max_trips_per_anchor triplets
/// or more is finished. The anchor is no negative of its own, since s_ii ≥ s_ip > 0. An anchor without positive yields nothing.
///
/// Triplets are in the order of their anchors, then of the walk. The first `capacity` of them are written and the rest is
/// counted in `dropped`; unused places hold −1. An anchor can yield as many as rows² / 2, when no row with s = 0 is nearer than
/// its positives.
///
/// With `x` the distances are those of pairwise_distance; on the CPU most are found roughly, and exactly where triplets hang on
/// them, so that the triplets are the same.
///
/// Cost: reads 6 · rows² bytes once from memory (on CUDA and, where anchors differ much in what they yield, on the CPU a second
/// time) and some 5 times from cache, writes 12 · capacity bytes; 3 launches. An anchor whose last P positives all have z = 0
/// takes P · rows comparisons more (on the CPU P² / 2 and a sort). Workspace: 2 KB a row; with `x` pairwise_distance's cost and
/// launch as well, and 4 · rows² bytes more (on the CPU 2 · rows · cols more, some half of its time, or three halves where
/// positives that no row without a shared label is nearer than are many).
struct MultilabelSemihardArgs {
  const float* distance = nullptr;            // rows × rows, ≥ 0; null: those of x
  const float* x = nullptr;                   // rows × cols, rows x_ld apart; read only without `distance`
  const std::uint16_t* similarity = nullptr;  // rows × rows: s_ij = ⟨y_i, y_j⟩ (label_similarity)
  const std::int32_t* label_count = nullptr;  // rows: labels of each row
  const std::int32_t* row_count = nullptr;    // 1: rows in use; null: all
  const std::uint64_t* step = nullptr;        // 1
  std::int32_t* triplets = nullptr;           // capacity × 3: anchor, positive, negative
  std::int32_t* triplet_count = nullptr;      // 1: triplets written
  std::int32_t* dropped = nullptr;            // 1: triplets that found no room; at most 2³¹ − 1
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t x_ld = 0;
  std::int64_t capacity = 0;
  std::int64_t max_negatives_per_pos = 3;
  std::int64_t max_trips_per_anchor = 3;
  std::uint64_t seed = 0;
  void* workspace = nullptr;  // multilabel_semihard_workspace(args) bytes, aligned to 64
};
void multilabel_semihard(const MultilabelSemihardArgs& args, CudaStream exec);
void multilabel_semihard(const MultilabelSemihardArgs& args, Cpu exec);
std::size_t multilabel_semihard_workspace(const MultilabelSemihardArgs& args);

}  // namespace swath::kernels

// Budget: count_kernel 40 registers, 264 bytes shared; scan_kernel 32 registers, 136 bytes shared; write_kernel 40 registers,
// 792 bytes shared.
