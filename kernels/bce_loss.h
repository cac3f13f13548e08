// Binary cross-entropy with logits against multi-hot labels, with its gradient. methods.md §6 "BCE with logits".
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// loss = mean over rows × classes of max(x, 0) − x y + log(1 + e^−|x|); d_logits = *loss_scale · (σ(x) − y) / (rows ·
/// classes). 0 for an empty matrix. `d_logits` may be `logits` in mode overwrite. Sums have one fixed order on each device.
/// Cost: reads the logits and one bit of a label an element, writes d_logits; about 45 operations an element; 2 launches;
/// workspace the larger of 4 KiB and 4 bytes per 16 rows.
struct BceLossArgs {
  const float* logits = nullptr;          // rows × classes
  const std::uint64_t* labels = nullptr;  // rows × words (kernels/label_mask.h); bits from `classes` on are ignored
  const float* loss_scale = nullptr;      // 1: factor of the gradient; null: 1
  float* loss = nullptr;                  // 1
  float* d_logits = nullptr;              // rows × classes
  std::int64_t rows = 0;
  std::int64_t classes = 0;
  std::int64_t words = 0;
  GradMode d_logits_mode = GradMode::overwrite;
  void* workspace = nullptr;  // bce_loss_workspace(args) bytes, aligned to 4
};
void bce_loss(const BceLossArgs& args, CudaStream exec);
void bce_loss(const BceLossArgs& args, Cpu exec);
std::size_t bce_loss_workspace(const BceLossArgs& args);

}  // namespace swath::kernels

// Budget: bce_terms_kernel 48 registers, 132 bytes shared, 128-bit loads; bce_sum_kernel 32 registers, 132 bytes shared.
