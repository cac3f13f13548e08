// Batch normalisation of a batch whose rows several processes hold in slices (methods.md §2), beside the kernels of
// batch_norm.h, which see one slice: its statistics are joined before batch_norm_apply, and batch_norm_backward's d_x, which
// lacks what the other slices add to its two sums, is corrected. Activations are rows × channels, f32, bf16 or f16.
#pragma once
#include "kernels/batch_norm.h"

namespace swath::kernels {

/// Writes what batch_norm_statistics does of the whole batch, from the moments of its slices, in their order.
struct BatchNormJoinArgs {
  std::int64_t images = 0;     // of the whole batch
  std::int64_t positions = 0;  // rows an image
  std::int64_t slices = 0;     // slice s: the images from slice_begin(images, s, slices) on (kernels/row_slice.h)
  std::int64_t channels = 0;
  const float* moments = nullptr;  // slices × 2 × channels: mean and unbiased variance, 0 of a single row
  float* running_mean = nullptr;   // channels, or null: not updated
  float* running_var = nullptr;    // channels, or null: not updated
  float* mean = nullptr;           // channels, written
  float* invstd = nullptr;         // channels, written
  float eps = 1e-5f;
  float momentum = 0.1f;
};
void batch_norm_join(const BatchNormJoinArgs&, CudaStream);
void batch_norm_join(const BatchNormJoinArgs&, Cpu);

/// Corrects the d_x that batch_norm_backward or batch_norm_pool_backward wrote for a slice with the batch's mean and invstd:
/// d_x += γ/σ · (own Σg / rows − Σg / total_rows + (x − μ)/σ · (the same of Σ g (x − μ)/σ)).
struct BatchNormJoinBackwardArgs {
  std::int64_t rows = 0;        // of this slice
  std::int64_t total_rows = 0;  // of all
  std::int64_t channels = 0;
  DType dtype = DType::f32;
  NormTerm main = {};            // Spread::inverse_deviation
  const float* own = nullptr;    // 2 × channels: this slice's d_gamma, d_beta
  const float* total = nullptr;  // 2 × channels: their sums over all slices
  void* d_x = nullptr;           // rows × channels
};
void batch_norm_join_backward(const BatchNormJoinBackwardArgs&, CudaStream);
void batch_norm_join_backward(const BatchNormJoinBackwardArgs&, Cpu);

}  // namespace swath::kernels

// Cost: join reads the moments: 1 launch. Backward reads x and d_x and writes d_x: 1 launch.
// Budget: join_kernel 40 registers; correct_kernel 40 registers.
