// Dynamic scaling of a loss whose gradients pass through float16 (P. Micikevicius et al., "Mixed Precision Training", 2018):
// the scale follows what is found among the gradients of scale · loss, all on the device; the optimiser divides by it.
#pragma once
#include <array>

#include "kernels/exec.h"

namespace swath::kernels {

constexpr float kFirstLossScale = 65536;
constexpr float kSmallestLossScale = 1.0f / 65536, kLargestLossScale = 16777216;

/// What lives from step to step, in device memory.
struct LossScaleState {
  float scale = kFirstLossScale;        // of the next step; a power of two, so that scaling does not round
  float inverse = 1 / kFirstLossScale;  // of the last step: what its gradients are to be multiplied by
  std::int32_t found_inf = 0;      // of the last step: 1 where a gradient was NaN or infinite and the update is to be skipped
  std::int32_t good_steps = 0;     // since the scale changed
  std::int32_t skipped_steps = 0;  // in all
  std::int32_t unused = 0;         // no byte is left to chance: a checkpoint has a checksum of them all
  std::uint64_t updates = 0;       // number of the update that the last step makes, from 1: those skipped do not count
};

/// Gradients of one type.
struct LossScalePart {
  const void* grad = nullptr;  // n
  std::int64_t n = 0;
  DType type = DType::f32;
};
/// How many one launch takes.
constexpr std::size_t kLossScaleParts = 8;

/// Where a gradient of the first `count` parts is NaN or infinite, the step is counted as skipped and the scale halves; after
/// `growth_steps` steps without one it doubles. It stays between the smallest and the largest.
struct LossScaleArgs {
  std::array<LossScalePart, kLossScaleParts> parts{};
  std::int64_t count = 1;
  LossScaleState* state = nullptr;    // 1, device
  std::int32_t growth_steps = 2000;   // at least 1
  std::uint32_t* counters = nullptr;  // CUDA: loss_scale_counters() zeros, zeros again when done
};
constexpr std::int64_t loss_scale_counters() { return 2; }
void loss_scale(const LossScaleArgs&, CudaStream);
void loss_scale(const LossScaleArgs&, Cpu);

}  // namespace swath::kernels

// Cost: reads every gradient once; 4 or 2 bytes and 1 operation an element; 1 launch; no workspace.
// Budget: loss_scale_kernel 32 registers, 1 bytes shared, 128-bit loads.
