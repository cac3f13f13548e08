// Global average pooling of NHWC activations (methods.md §2). Element types: f32, bf16 or f16. No workspace.
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

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

// Cost: the input is read once, the output written once: 1 launch; no workspace.
// Budget: average_pool_kernel 32 registers, 128-bit loads; average_pool_backward_kernel 48 registers, 128-bit loads.
