// Batch normalisation around convolutions that gather its sums and apply it themselves (engine/device/conv_fusion.h;
// methods.md §2): what remains is the channels' statistics, and the gradient of what was normalised.
#pragma once
#include "kernels/batch_norm.h"
#include "kernels/half.h"

namespace swath::kernels {

/// Statistics and running statistics as batch_norm_statistics, from sums over the rows, and the affine form
/// γ (x − μ) invstd + β = x · scale + bias. The variance is a difference of the sums, in double: it loses the digits in which
/// the mean's square exceeds it. Of no rows everything written is 0, and the running statistics stay.
struct BatchNormFinishArgs {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  const float* sums = nullptr;    // 2 × channels: Σ x, Σ x²
  const float* gamma = nullptr;   // channels
  const float* beta = nullptr;    // channels
  float* running_mean = nullptr;  // channels
  float* running_var = nullptr;   // channels
  float* mean = nullptr;          // channels, written
  float* invstd = nullptr;        // channels, written
  f16* scale = nullptr;           // channels, written
  f16* bias = nullptr;            // channels, written
  float eps = 1e-5f;
  float momentum = 0.1f;
};
void batch_norm_finish(const BatchNormFinishArgs&, CudaStream);
void batch_norm_finish(const BatchNormFinishArgs&, Cpu);

/// The affine form of a normalisation whose statistics are known.
struct BatchNormAffineArgs {
  std::int64_t channels = 0;
  NormTerm term = {};    // Spread::inverse_deviation; x is not read
  f16* scale = nullptr;  // channels, written
  f16* bias = nullptr;   // channels, written
};
void batch_norm_affine(const BatchNormAffineArgs&, CudaStream);
void batch_norm_affine(const BatchNormAffineArgs&, Cpu);

/// One term of batch_norm_input: gradients from the sums over its rows.
struct NormInput {
  NormTerm term = {};           // Spread::inverse_deviation; x null: none
  const float* sums = nullptr;  // 2 × channels: Σ g (x − μ) invstd, Σ g
  NormGradient gradient = {};   // d_x is not null
};

/// The second pass of batch_norm_backward: d_x = γ invstd (g − mean(g) − (x − μ) invstd² mean(g (x − μ))) of both terms, and
/// the gradients of their γ and β, which are the sums.
struct BatchNormInputArgs {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  DType dtype = DType::f32;
  const void* d_y = nullptr;  // rows × channels: the masked gradient g; one of the d_x may be the same
  NormInput main = {};
  NormInput shortcut = {};
};
void batch_norm_input(const BatchNormInputArgs&, CudaStream);
void batch_norm_input(const BatchNormInputArgs&, Cpu);

}  // namespace swath::kernels

// Cost: finish and affine read and write some floats a channel: 1 launch each. Input reads d_y once and x of each term, and
// writes each d_x: 1 launch.
// Budget: finish_kernel 40 registers; affine_kernel 32 registers; input_kernel 128 registers, 2048 bytes shared, 128-bit loads;
// clear_kernel 8 registers.
