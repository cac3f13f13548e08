// Batch normalisation over the rows of an NHWC activation (methods.md §2), fused with a residual sum and ReLU.
// Activations are rows × channels (rows = N·H·W), f32 or bf16; per-channel arrays are f32. State kept for the backward
// pass: x and two floats per channel (and y where a residual was fused with ReLU).
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

enum class Activation : std::uint8_t { none, relu };

/// y = act(γ (x − μ) / sqrt(σ² + eps) + β + residual) with the batch's mean and biased variance; updates the running statistics
/// (running ← (1 − momentum) running + momentum · batch, variance unbiased). Reads x twice and writes y once.
/// Variances are computed from sums shifted by a mean of a few rows: exact to a few float32 roundings at any mean.
struct BatchNormTrainingArgs {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  DType dtype = DType::f32;
  const void* x = nullptr;         // rows × channels
  const void* residual = nullptr;  // rows × channels, or null
  const float* gamma = nullptr;    // channels
  const float* beta = nullptr;     // channels
  float* running_mean = nullptr;   // channels, or null: not updated
  float* running_var = nullptr;    // channels, or null: not updated
  float* saved_mean = nullptr;     // channels, written
  float* saved_invstd = nullptr;   // channels, written: 1 / sqrt(σ² + eps)
  void* y = nullptr;               // rows × channels; may be x (then a backward pass is impossible) or residual
  Activation activation = Activation::none;
  float eps = 1e-5f;
  float momentum = 0.1f;
  void* workspace = nullptr;  // batch_norm_training_workspace(args) bytes, aligned to 16
};
void batch_norm_training(const BatchNormTrainingArgs&, CudaStream);
void batch_norm_training(const BatchNormTrainingArgs&, Cpu);
/// Depends on rows, channels and dtype only.
std::size_t batch_norm_training_workspace(const BatchNormTrainingArgs&);

/// The same with the running statistics, which stay as they are. One pass.
struct BatchNormInferenceArgs {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  DType dtype = DType::f32;
  const void* x = nullptr;              // rows × channels
  const void* residual = nullptr;       // rows × channels, or null
  const float* gamma = nullptr;         // channels
  const float* beta = nullptr;          // channels
  const float* running_mean = nullptr;  // channels
  const float* running_var = nullptr;   // channels
  void* y = nullptr;                    // rows × channels; may be x or residual
  Activation activation = Activation::none;
  float eps = 1e-5f;
};
void batch_norm_inference(const BatchNormInferenceArgs&, CudaStream);
void batch_norm_inference(const BatchNormInferenceArgs&, Cpu);

/// Gradients of batch_norm_training. With ReLU the mask is y > 0, or, when y is null (allowed without a residual), recomputed
/// from x, gamma and beta. Two passes over memory.
struct BatchNormBackwardArgs {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  DType dtype = DType::f32;
  const void* d_y = nullptr;                      // rows × channels
  const void* x = nullptr;                        // rows × channels
  const void* y = nullptr;                        // rows × channels, or null
  const float* gamma = nullptr;                   // channels
  const float* beta = nullptr;                    // channels; read only for a recomputed mask
  const float* saved_mean = nullptr;              // channels
  const float* saved_invstd = nullptr;            // channels
  void* d_x = nullptr;                            // rows × channels, or null; may be d_y (unless d_residual is)
  void* d_residual = nullptr;                     // rows × channels, or null: the masked d_y; may be d_y
  float* d_gamma = nullptr;                       // channels
  float* d_beta = nullptr;                        // channels
  GradMode parameter_mode = GradMode::overwrite;  // of d_gamma and d_beta
  Activation activation = Activation::none;
  void* workspace = nullptr;  // batch_norm_backward_workspace(args) bytes, aligned to 16
};
void batch_norm_backward(const BatchNormBackwardArgs&, CudaStream);
void batch_norm_backward(const BatchNormBackwardArgs&, Cpu);
/// Depends on rows, channels and dtype only.
std::size_t batch_norm_backward_workspace(const BatchNormBackwardArgs&);

}  // namespace swath::kernels

// Cost: training reads x twice, the residual once, and writes y: 3 launches. Inference reads x and the residual once and writes
// y: 1 launch. Backward reads d_y, x and y twice and writes d_x and d_residual: 3 launches. Workspaces by their queries.
// Budget: statistics_kernel 64 registers, 16384 bytes shared, 128-bit loads; finish_statistics_kernel 56 registers, 4352
// bytes shared; apply_kernel 56 registers, 128-bit loads; backward_sums_kernel 80 registers, 16384 bytes shared, 128-bit
// loads; finish_backward_kernel 40 registers, 4352 bytes shared; backward_input_kernel 80 registers, 128-bit loads;
// clear_kernel 8 registers.
