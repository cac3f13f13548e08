// Counts NaN and infinite elements, for the NaN check and for skipping an update. No workspace.
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

/// *count += number of elements of x that are NaN or infinite. The caller zeroes *count when a count begins.
struct NonfiniteArgs {
  std::int64_t n = 0;
  DType dtype = DType::f32;       // f32, bf16 or f16
  const void* x = nullptr;        // n
  std::int32_t* count = nullptr;  // 1, device
};
void nonfinite(const NonfiniteArgs&, CudaStream);
void nonfinite(const NonfiniteArgs&, Cpu);

}  // namespace swath::kernels

// Cost: reads every element once; 1 launch; no workspace.
// Budget: nonfinite_kernel 32 registers, 132 bytes shared, 128-bit loads.
