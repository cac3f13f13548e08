// Adam (D. Kingma, J. Ba, 2015) and AdamW (I. Loshchilov, F. Hutter, 2019) over flat arrays, with PyTorch's arithmetic
// (methods.md §3). State: two floats per parameter.
#pragma once
#include <array>

#include "kernels/stretch.h"

namespace swath::kernels {

/// coupled: the decay is added to the gradient (Adam); decoupled: the value shrinks by lr · decay (AdamW).
enum class WeightDecay : std::uint8_t { coupled, decoupled };

/// m ← β₁ m + (1−β₁) g, v ← β₂ v + (1−β₂) g², value ← value − lr/(1−β₁ᵗ) · m / (sqrt(v)/sqrt(1−β₂ᵗ) + eps), in each of the
/// first `count` stretches, which do not overlap. One launch.
struct AdamArgs {
  std::array<UpdateStretch, kUpdateStretches> stretches{};
  std::int64_t count = 1;
  float* value = nullptr;                   // up to the last end
  float* m = nullptr;                       // likewise, starts at 0
  float* v = nullptr;                       // likewise, starts at 0
  const std::uint64_t* step = nullptr;      // 1, device: the number t of this update, from 1
  const float* grad_factor = nullptr;       // 1, device, or null: multiplies the gradients
  const std::int32_t* found_inf = nullptr;  // 1, device, or null: a value other than 0 skips the update
  double beta1 = 0.9;                       // double, so that 1 − β is PyTorch's
  double beta2 = 0.999;
  double eps = 1e-8;
  WeightDecay decay = WeightDecay::coupled;
};
void adam(const AdamArgs&, CudaStream);
void adam(const AdamArgs&, Cpu);

}  // namespace swath::kernels

// Cost: reads grad, value, m and v once, writes the last three; 28 bytes (26 with gradients of 16 bits) and about 20 operations
// an element; 1 launch; no workspace.
// Budget: adam_kernel 56 registers, 36 bytes shared, 128-bit loads.
