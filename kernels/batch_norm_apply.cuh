// The per-channel values with which batch norm's forward passes normalise.
#pragma once
#include "kernels/batch_norm.cuh"

namespace swath::kernels::batch_norm {

/// Per-channel values of the terms; `beta` is that of both.
struct ApplyValues {
  Cell mean, scale, beta, shortcut_mean, shortcut_scale;
};

__device__ __forceinline__ float scale_of(Spread kind, float gamma, float spread, float eps) {
  return kind == Spread::variance ? gamma / sqrtf(spread + eps) : gamma * spread;
}

template <bool kShortcut>
__device__ __forceinline__ ApplyValues apply_values(const BatchNormApplyArgs& p) {
  __shared__ Table<kShortcut ? 5 : 3> table;
  for_channels(p.channels, [&](std::int64_t c, int column) {
    const NormTerm &main = p.main, &shortcut = p.shortcut;
    const float mean = main.mean[c], gamma = main.gamma[c], spread = main.spread[c], beta = main.beta[c];
    if constexpr (kShortcut) {
      const float shortcut_mean = shortcut.mean[c], shortcut_gamma = shortcut.gamma[c], shortcut_spread = shortcut.spread[c];
      table.at(2, column) = beta + shortcut.beta[c];
      table.at(3, column) = shortcut_mean;
      table.at(4, column) = scale_of(p.spread, shortcut_gamma, shortcut_spread, p.eps);
    } else {
      table.at(2, column) = beta;
    }
    table.at(0, column) = mean;
    table.at(1, column) = scale_of(p.spread, gamma, spread, p.eps);
  });
  ApplyValues values;
  values.mean = table.cell(0), values.scale = table.cell(1), values.beta = table.cell(2);
  if constexpr (kShortcut) values.shortcut_mean = table.cell(3), values.shortcut_scale = table.cell(4);
  return values;
}

}  // namespace swath::kernels::batch_norm
