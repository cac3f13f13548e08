// Batch normalisation, ReLU and max pooling in one pass over an NHWC activation, and back (methods.md §2): the normalised
// activation is never stored. Statistics come from batch_norm_statistics. Element types: f32, bf16 or f16.
#pragma once
#include "kernels/batch_norm.h"

namespace swath::kernels {

/// The sizes of a max pooling: every window holds at least one pixel (pad < window), window ≤ 15, fewer than 2^31 pixels.
struct PoolGeometry {
  std::int64_t n = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::int64_t window = 3;
  std::int64_t stride = 2;
  std::int64_t pad = 1;

  std::int64_t out_height() const { return (height + 2 * pad - window) / stride + 1; }
  std::int64_t out_width() const { return (width + 2 * pad - window) / stride + 1; }
  std::int64_t rows() const { return n * height * width; }
};

/// y = maximum over each window of max(γ (x − μ) / sqrt(σ² + eps) + β, 0); padding never wins.
struct BatchNormPoolArgs {
  PoolGeometry geometry = {};
  DType dtype = DType::f32;
  NormTerm main = {};             // x: n × height × width × channels
  void* y = nullptr;              // n × out_height × out_width × channels; not beside a winner
  void* winner = nullptr;         // as y: the x of the first maximum, of which y is the normalised, rectified value; or null
  std::uint8_t* index = nullptr;  // as y: row · window + column of the first maximum within its window; null: not recorded
  Spread spread = Spread::inverse_deviation;
  float eps = 1e-5f;  // with Spread::variance
};
void batch_norm_pool(const BatchNormPoolArgs&, CudaStream);
void batch_norm_pool(const BatchNormPoolArgs&, Cpu);

/// Its gradients. The incoming gradient is d_y, or d_y + d_y_second; each element goes to the pixel that `index` names, unless
/// ReLU was zero there.
struct BatchNormPoolBackwardArgs {
  PoolGeometry geometry = {};
  DType dtype = DType::f32;
  const void* d_y = nullptr;            // n × out_height × out_width × channels
  const void* d_y_second = nullptr;     // the same, or null
  const std::uint8_t* index = nullptr;  // the same, from batch_norm_pool
  NormTerm main = {};                   // Spread::inverse_deviation
  NormGradient d_main = {};             // d_x: n × height × width × channels, or null
  const float* sums = nullptr;          // 2 × channels: d_gamma and d_beta, where they are known; else null
  void* workspace = nullptr;            // batch_norm_pool_workspace(geometry) bytes, aligned to 16
  std::uint32_t* counters = nullptr;    // CUDA: batch_norm_counters(channels) zeros, zeros again when done
};
void batch_norm_pool_backward(const BatchNormPoolBackwardArgs&, CudaStream);
void batch_norm_pool_backward(const BatchNormPoolBackwardArgs&, Cpu);
/// Bytes.
std::size_t batch_norm_pool_workspace(const PoolGeometry& geometry);

}  // namespace swath::kernels

// Cost: forward reads x once, each pixel again from cache by every window that holds it, and writes y and index: 1 launch.
// Backward reads d_y, index and x twice (with sums once), d_y and index again from cache by every pixel of a window, and writes
// d_x: 2 launches.
// Budget: pool_kernel 128 registers, 768 bytes shared, 128-bit loads; backward_sums_kernel 128 registers, 17168 bytes shared,
// 128-bit loads; backward_input_kernel 128 registers, 1280 bytes shared, 128-bit loads; clear_kernel 8 registers;
// coefficients_kernel 40 registers.
