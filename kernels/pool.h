// Max pooling and global average pooling of NHWC activations (methods.md §2). Element types: f32, bf16 or f16. No workspace.
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

/// y = maximum over a window×window window (ResNet: 3, stride 2, pad 1); padding never wins. The first maximum, row by row, is
/// recorded; a NaN wins over all numbers. Every window must hold at least one pixel (pad < window), window ≤ 15.
struct MaxPoolArgs {
  std::int64_t n = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::int64_t window = 3;
  std::int64_t stride = 2;
  std::int64_t pad = 1;
  DType dtype = DType::f32;
  const void* x = nullptr;        // n × height × width × channels
  void* y = nullptr;              // n × out_height × out_width × channels
  std::uint8_t* index = nullptr;  // as y: row · window + column of the maximum within its window; null: not recorded

  std::int64_t out_height() const { return (height + 2 * pad - window) / stride + 1; }
  std::int64_t out_width() const { return (width + 2 * pad - window) / stride + 1; }
};
void max_pool(const MaxPoolArgs&, CudaStream);
void max_pool(const MaxPoolArgs&, Cpu);

/// d_x = for each pixel the sum of d_y of the windows whose maximum it was; overwrites d_x.
struct MaxPoolBackwardArgs {
  std::int64_t n = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::int64_t window = 3;
  std::int64_t stride = 2;
  std::int64_t pad = 1;
  DType dtype = DType::f32;
  const void* d_y = nullptr;            // n × out_height × out_width × channels
  const std::uint8_t* index = nullptr;  // as d_y, from max_pool
  void* d_x = nullptr;                  // n × height × width × channels

  std::int64_t out_height() const { return (height + 2 * pad - window) / stride + 1; }
  std::int64_t out_width() const { return (width + 2 * pad - window) / stride + 1; }
};
void max_pool_backward(const MaxPoolBackwardArgs&, CudaStream);
void max_pool_backward(const MaxPoolBackwardArgs&, Cpu);

/// y = mean of x over the positions of an image.
struct AveragePoolArgs {
  std::int64_t n = 0;
  std::int64_t positions = 0;  // height · width, at least 1
  std::int64_t channels = 0;
  DType dtype = DType::f32;  // of x
  const void* x = nullptr;   // n × positions × channels
  float* y = nullptr;        // n × channels
};
void average_pool(const AveragePoolArgs&, CudaStream);
void average_pool(const AveragePoolArgs&, Cpu);

/// d_x = d_y / positions at every position; overwrites d_x.
struct AveragePoolBackwardArgs {
  std::int64_t n = 0;
  std::int64_t positions = 0;  // height · width, at least 1
  std::int64_t channels = 0;
  DType dtype = DType::f32;    // of d_x
  const float* d_y = nullptr;  // n × channels
  void* d_x = nullptr;         // n × positions × channels
};
void average_pool_backward(const AveragePoolBackwardArgs&, CudaStream);
void average_pool_backward(const AveragePoolBackwardArgs&, Cpu);

}  // namespace swath::kernels

// Cost: outputs are written once; an input pixel is read by each window that holds it, from cache after the first time;
// 1 launch; no workspace.
// Budget: max_pool_kernel 56 registers, 128-bit loads; max_pool_backward_kernel 72 registers, 128-bit loads;
// average_pool_kernel 32 registers, 128-bit loads; average_pool_backward_kernel 48 registers, 128-bit loads.
