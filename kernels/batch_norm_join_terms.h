// What joining the slices of a batch computes for one channel, the same on host and device.
#pragma once
#include <cmath>

#include "kernels/batch_norm_join.h"
#include "kernels/half.h"
#include "kernels/row_slice.h"

namespace swath::kernels {

SWATH_HOST_DEVICE void join_channel(const BatchNormJoinArgs& p, RowSlices slices, std::int64_t c) {
  const auto count = [&](std::int64_t s) {
    return static_cast<double>(p.positions * (slices.shorter + (s < slices.longer ? 1 : 0)));
  };
  const double n = static_cast<double>(p.images * p.positions), momentum = static_cast<double>(p.momentum);
  double mean = 0, deviation = 0;
  for (std::int64_t s = 0; s < p.slices; ++s) mean += count(s) * static_cast<double>(p.moments[2 * s * p.channels + c]);
  mean /= n > 1 ? n : 1;
  for (std::int64_t s = 0; s < p.slices; ++s) {
    const double offset = static_cast<double>(p.moments[2 * s * p.channels + c]) - mean, rows = count(s);
    const double variance = static_cast<double>(p.moments[(2 * s + 1) * p.channels + c]);
    deviation += variance * (rows > 1 ? rows - 1 : 0) + rows * offset * offset;
  }
  p.mean[c] = static_cast<float>(mean);
  p.invstd[c] = static_cast<float>(1 / std::sqrt(deviation / (n > 1 ? n : 1) + static_cast<double>(p.eps)));
  const auto updated = [&](float running, double batch) {
    return static_cast<float>((1 - momentum) * static_cast<double>(running) + momentum * batch);
  };
  if (p.running_mean) p.running_mean[c] = updated(p.running_mean[c], mean);
  if (p.running_var) p.running_var[c] = updated(p.running_var[c], deviation / (n > 2 ? n - 1 : 1));
}

/// d_x += constant + linear · (x − mean).
struct JoinCorrection {
  float mean, constant, linear;
};
SWATH_HOST_DEVICE JoinCorrection join_correction(const BatchNormJoinBackwardArgs& p, std::int64_t c) {
  const double own = static_cast<double>(p.rows > 1 ? p.rows : 1), all = static_cast<double>(p.total_rows);
  const auto lacking = [&](std::int64_t i) {
    return static_cast<double>(p.own[i]) / own - static_cast<double>(p.total[i]) / all;
  };
  const double invstd = static_cast<double>(p.main.spread[c]), slope = static_cast<double>(p.main.gamma[c]) * invstd;
  return {p.main.mean[c], static_cast<float>(slope * lacking(p.channels + c)), static_cast<float>(slope * invstd * lacking(c))};
}

}  // namespace swath::kernels
