// Exponential moving average of parameters, the momentum copy of MoCo (methods.md §6). No state beyond the target.
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

/// target ← μ · target + (1 − μ) · source.
struct EmaArgs {
  std::int64_t n = 0;
  const float* source = nullptr;  // n
  float* target = nullptr;        // n
  const float* mu = nullptr;      // 1, device
};
void ema(const EmaArgs&, CudaStream);
void ema(const EmaArgs&, Cpu);

}  // namespace swath::kernels

// Cost: reads both ranges once, writes one; 12 bytes an element; 1 launch; no workspace.
// Budget: EmaBody 32 registers, 128-bit loads.
