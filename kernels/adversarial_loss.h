// Correlation of a sub-embedding with what a regressor predicts of it, with its gradients. methods.md §6 "Adversarial
// decorrelation" (M. Opitz et al., BIER, 2018).
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// With r = prediction / max(|prediction|, 1e-12) per row: loss = −weight · mean over the n rows in use and the columns of
/// (target ∘ r)², 0 when n = 0. Gradients are the plain ones (the reversal is the caller's), through the normalisation of the
/// prediction, times *loss_scale; rows from *row_count on get 0. Sums have one fixed order on each device.
/// Cost: reads both matrices twice (the second time from cache), writes both gradients; 8 operations an element; 2 launches;
/// workspace 4 bytes a row.
struct AdversarialLossArgs {
  const float* target = nullptr;            // rows × cols, unit rows target_ld apart
  const float* prediction = nullptr;        // rows × cols, not normalised
  const std::int32_t* row_count = nullptr;  // 1: rows in use; null: all
  const float* loss_scale = nullptr;        // 1: factor of the gradients; null: 1
  float* loss = nullptr;                    // 1
  float* d_target = nullptr;                // rows × cols, rows d_target_ld apart
  float* d_prediction = nullptr;            // rows × cols
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t target_ld = 0;
  std::int64_t d_target_ld = 0;
  float weight = 1.0f;
  GradMode d_target_mode = GradMode::overwrite;
  GradMode d_prediction_mode = GradMode::overwrite;
  void* workspace = nullptr;  // adversarial_loss_workspace(args) bytes, aligned to 4
};
void adversarial_loss(const AdversarialLossArgs& args, CudaStream exec);
void adversarial_loss(const AdversarialLossArgs& args, Cpu exec);
std::size_t adversarial_loss_workspace(const AdversarialLossArgs& args);

}  // namespace swath::kernels

// Budget: adversarial_rows_kernel 48 registers, 128-bit loads; adversarial_sum_kernel 32 registers, 132 bytes shared.
