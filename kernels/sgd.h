// Stochastic gradient descent with momentum and coupled weight decay over a flat range, as PyTorch's SGD without dampening
// or Nesterov (methods.md §3). State: one float per parameter (none when momentum is 0).
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

/// g ← grad + weight_decay · value; buffer ← momentum · buffer + g; value ← value − lr · buffer.
struct SgdArgs {
  std::int64_t n = 0;
  const float* grad = nullptr;              // n
  float* value = nullptr;                   // n
  float* buffer = nullptr;                  // n, starts at 0 (the first buffer is then the gradient); null when momentum is 0
  const float* learning_rate = nullptr;     // 1, device
  const std::int32_t* found_inf = nullptr;  // 1, device, or null: a value other than 0 skips the update
  float momentum = 0;
  float weight_decay = 0;
};
void sgd(const SgdArgs&, CudaStream);
void sgd(const SgdArgs&, Cpu);

}  // namespace swath::kernels

// Cost: reads grad and value (and momentum) once, writes the latter; 12 to 20 bytes an element; 1 launch; no workspace.
// Budget: SgdBody 32 registers, 128-bit loads.
