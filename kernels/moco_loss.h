// Fast MoCo: cross-entropy of a query against its key and a queue of distance-weighted keys, with its gradient. methods.md §6.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// l⁺_i = ⟨q_i, k_i⟩, l⁻_ij = ω_ij ⟨q_i, Q_j⟩; loss = mean over the rows in use of the cross-entropy of [l⁺_i, l⁻_i]/τ with
/// class 0. ω_·j is the softmax over the rows in use of −log q(d_ij), the density in `cols` dimensions
/// (kernels/sphere_density.h), over those with d_ij = sqrt(max(0, 2 − 2⟨q_i, Q_j⟩)) ≤ upper_cutoff, d clamped below at
/// lower_cutoff; uniform where there is none. ω is a constant to the gradient; keys and queue get none. Queries, keys and the
/// queue are unit rows. `loss` is unscaled, the gradient is multiplied by *loss_scale; rows not in use have gradient 0, no row
/// in use means loss 0, and so does a queue without keys (one logit is left). Sums have one fixed order on each device (no
/// float atomics). Cost: 4 · rows · capacity · cols operations. CUDA: 5 launches; the workspace holds rows × capacity products,
/// read twice and rewritten, and partial gradients of some 264 tiles of 64 × 64. CPU: one pass over the queue in tiles of
/// columns that stay in the cache. The workspace serves either.
struct MocoLossArgs {
  const float* queries = nullptr;           // rows × cols, rows queries_ld apart
  const float* keys = nullptr;              // rows × cols, rows keys_ld apart
  const float* queue = nullptr;             // capacity × cols
  const std::int32_t* row_count = nullptr;  // 1: rows in use; null: all
  const std::uint64_t* pushed = nullptr;    // 1: the queue's first min(*pushed, capacity) rows hold keys; null: all
  const float* loss_scale = nullptr;        // 1: factor of the gradient; null: 1
  float* loss = nullptr;                    // 1
  float* d_queries = nullptr;               // rows × cols, rows d_queries_ld apart
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t capacity = 0;
  std::int64_t queries_ld = 0;
  std::int64_t keys_ld = 0;
  std::int64_t d_queries_ld = 0;
  float tau = 0.07f;
  float lower_cutoff = 0.5f;
  float upper_cutoff = 1.4f;
  GradMode d_queries_mode = GradMode::overwrite;
  void* workspace = nullptr;  // moco_loss_workspace(args) bytes, aligned to 64
};
void moco_loss(const MocoLossArgs& args, CudaStream exec);
void moco_loss(const MocoLossArgs& args, Cpu exec);
std::size_t moco_loss_workspace(const MocoLossArgs& args);

}  // namespace swath::kernels

// Budget: products_kernel 72 registers, 8704 bytes shared, 128-bit loads; columns_kernel 32 registers, 2048 bytes shared;
// rows_kernel 32 registers, 132 bytes shared; gradient_kernel 80 registers, 8704 bytes shared, 128-bit loads; finish_kernel
// 40 registers, 132 bytes shared.
