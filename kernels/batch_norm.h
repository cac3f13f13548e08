// Batch normalisation over the rows of an NHWC activation (methods.md §2), fused with what follows it in a residual network:
// the sum with a residual or with a second normalised activation, ReLU, and on the way back the sum of two incoming gradients.
// Activations are rows × channels (rows = N·H·W), f32, bf16 or f16; per-channel arrays are f32. State kept for the backward
// pass: x, two floats per channel, and one bit per element where the mask of ReLU cannot be recomputed from x alone.
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

enum class Activation : std::uint8_t { none, relu };

/// Mean and 1 / sqrt(σ² + eps) of each channel, σ² biased; updates the running statistics (running ← (1 − momentum) running +
/// momentum · batch, variance unbiased). Variances are computed from sums shifted by a mean of a few rows: exact to a few
/// float32 roundings at any mean.
struct BatchNormStatisticsArgs {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  DType dtype = DType::f32;
  const void* x = nullptr;        // rows × channels
  float* running_mean = nullptr;  // channels, or null: not updated
  float* running_var = nullptr;   // channels, or null: not updated
  float* mean = nullptr;          // channels, written
  float* invstd = nullptr;        // channels, written
  float eps = 1e-5f;
  float momentum = 0.1f;
  void* workspace = nullptr;          // batch_norm_workspace(rows, channels) bytes, aligned to 16
  std::uint32_t* counters = nullptr;  // CUDA: batch_norm_counters(channels) zeros, zeros again when done
};
void batch_norm_statistics(const BatchNormStatisticsArgs&, CudaStream);
void batch_norm_statistics(const BatchNormStatisticsArgs&, Cpu);

/// One activation with the parameters and statistics that normalise it.
struct NormTerm {
  const void* x = nullptr;        // rows × channels
  const float* gamma = nullptr;   // channels
  const float* beta = nullptr;    // channels
  const float* mean = nullptr;    // channels
  const float* spread = nullptr;  // channels: what `Spread` says
};
enum class Spread : std::uint8_t { inverse_deviation, variance };

/// y = act(γ (x − μ) / sqrt(σ² + eps) + β + residual), where the residual is a tensor, a second normalised one, or nothing.
struct BatchNormApplyArgs {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  DType dtype = DType::f32;
  NormTerm main = {};
  NormTerm shortcut = {};          // x null: none
  const void* residual = nullptr;  // rows × channels, or null; not beside a shortcut
  void* y = nullptr;               // rows × channels; may be an input (without a backward pass)
  std::uint8_t* mask = nullptr;    // rows × ceil(channels / 8), or null: bit c % 8 of byte c / 8 tells y > 0
  Activation activation = Activation::none;
  Spread spread = Spread::inverse_deviation;
  float eps = 1e-5f;  // with Spread::variance
};
void batch_norm_apply(const BatchNormApplyArgs&, CudaStream);
void batch_norm_apply(const BatchNormApplyArgs&, Cpu);

/// Where the gradients of one term go.
struct NormGradient {
  void* d_x = nullptr;                  // rows × channels, or null
  float* d_gamma = nullptr;             // channels
  float* d_beta = nullptr;              // channels
  GradMode mode = GradMode::overwrite;  // of d_gamma and d_beta
};

/// Gradients of batch_norm_apply with the batch's statistics. The incoming gradient is d_y, or d_y + d_y_second
/// rounded to the activations' type. With ReLU the
/// mask is `mask`, or, when that is null (allowed without residual and shortcut), recomputed from x, gamma and beta.
struct BatchNormBackwardArgs {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  DType dtype = DType::f32;
  const void* d_y = nullptr;           // rows × channels
  const void* d_y_second = nullptr;    // rows × channels, or null
  const std::uint8_t* mask = nullptr;  // as batch_norm_apply wrote it, or null
  NormTerm main = {};                  // Spread::inverse_deviation
  NormTerm shortcut = {};              // x null: none
  NormGradient d_main = {};            // d_x may be d_y unless d_residual is
  NormGradient d_shortcut = {};        // d_x may be d_residual; null exactly where d_main's is
  void* d_residual = nullptr;          // rows × channels, or null: the masked sum of the incoming gradients; may be d_y
  Activation activation = Activation::none;
  void* workspace = nullptr;          // batch_norm_workspace(rows, channels) bytes, aligned to 16
  std::uint32_t* counters = nullptr;  // CUDA: batch_norm_counters(channels) zeros, zeros again when done
};
void batch_norm_backward(const BatchNormBackwardArgs&, CudaStream);
void batch_norm_backward(const BatchNormBackwardArgs&, Cpu);

/// Bytes.
std::size_t batch_norm_workspace(std::int64_t rows, std::int64_t channels);
/// Elements.
std::int64_t batch_norm_counters(std::int64_t channels);

}  // namespace swath::kernels

// Cost: statistics read x once: 1 launch. Apply reads x and the residual or the shortcut and writes y and the mask: 1 launch.
// Backward reads the incoming gradients, the mask and each x and writes d_residual, then reads d_residual (or again gradients
// and mask) and each x, and writes each d_x: 2 launches. Workspace: three floats per channel and chunk of rows.
// Budget: statistics_kernel 80 registers, 17424 bytes shared, 128-bit loads; apply_kernel 120 registers, 1280 bytes shared,
// 128-bit loads; backward_sums_kernel 128 registers, 25104 bytes shared, 128-bit loads; backward_input_kernel 128 registers,
// 1792 bytes shared, 128-bit loads; clear_kernel 8 registers.
