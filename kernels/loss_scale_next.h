// The state after a step, the same on every device.
#pragma once
#include "kernels/half.h"
#include "kernels/loss_scale.h"

namespace swath::kernels {

SWATH_HOST_DEVICE void next_loss_scale(LossScaleState& state, bool found, std::int32_t growth_steps) {
  state.inverse = 1 / state.scale;
  state.found_inf = found ? 1 : 0;
  if (found) {
    ++state.skipped_steps;
    state.good_steps = 0;
    state.scale = state.scale * 0.5f > kSmallestLossScale ? state.scale * 0.5f : kSmallestLossScale;
    return;
  }
  ++state.updates;
  if (++state.good_steps < growth_steps) return;
  state.good_steps = 0;
  state.scale = state.scale * 2 < kLargestLossScale ? state.scale * 2 : kLargestLossScale;
}

}  // namespace swath::kernels
