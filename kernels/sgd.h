// Stochastic gradient descent with momentum and coupled weight decay over flat arrays, as PyTorch's SGD without dampening
// or Nesterov (methods.md §3). State: one float per parameter (none when momentum is 0).
#pragma once
#include <array>

#include "kernels/stretch.h"

namespace swath::kernels {

/// g ← grad + weight_decay · value; buffer ← momentum · buffer + g; value ← value − lr · buffer, in each of the first `count`
/// stretches, which do not overlap. One launch.
struct SgdArgs {
  std::array<UpdateStretch, kUpdateStretches> stretches{};
  std::int64_t count = 1;
  float* value = nullptr;                   // up to the last end
  float* buffer = nullptr;                  // likewise, starts at 0 (the first is then the gradient); null when momentum is 0
  const float* grad_factor = nullptr;       // 1, device, or null: multiplies the gradients
  const std::int32_t* found_inf = nullptr;  // 1, device, or null: a value other than 0 skips the update
  float momentum = 0;
};
void sgd(const SgdArgs&, CudaStream);
void sgd(const SgdArgs&, Cpu);

}  // namespace swath::kernels

// Cost: reads grad and value (and momentum) once, writes the latter; 12 to 20 bytes an element (2 fewer with
// gradients of 16 bits); 1 launch; no workspace.
// Budget: sgd_kernel 32 registers, 128-bit loads.
