// What the executors of batch_norm_fused.h compute for one channel.
#pragma once
#include <cmath>

#include "kernels/batch_norm_fused.h"
#include "kernels/half.h"

namespace swath::kernels {

SWATH_HOST_DEVICE void store_affine(double gamma, double beta, double mean, double invstd, f16* scale, f16* bias) {
  const double factor = gamma * invstd;
  *scale = from_float<f16>(static_cast<float>(factor));
  *bias = from_float<f16>(static_cast<float>(beta - mean * factor));
}

SWATH_HOST_DEVICE void affine_channel(const BatchNormAffineArgs& p, std::int64_t c) {
  const NormTerm& t = p.term;
  store_affine(static_cast<double>(t.gamma[c]), static_cast<double>(t.beta[c]), static_cast<double>(t.mean[c]),
               static_cast<double>(t.spread[c]), p.scale + c, p.bias + c);
}

SWATH_HOST_DEVICE void finish_channel(const BatchNormFinishArgs& p, std::int64_t c) {
  if (p.rows == 0) {
    p.mean[c] = p.invstd[c] = 0;
    p.scale[c] = p.bias[c] = f16{0};
    return;
  }
  const double n = static_cast<double>(p.rows), momentum = static_cast<double>(p.momentum);
  const double mean = static_cast<double>(p.sums[c]) / n;
  const double rest = static_cast<double>(p.sums[p.channels + c]) / n - mean * mean, variance = rest < 0 ? 0 : rest;
  const double invstd = 1 / sqrt(variance + static_cast<double>(p.eps));
  p.mean[c] = static_cast<float>(mean);
  p.invstd[c] = static_cast<float>(invstd);
  p.running_mean[c] = static_cast<float>((1 - momentum) * static_cast<double>(p.running_mean[c]) + momentum * mean);
  const double unbiased = variance * n / (n > 2 ? n - 1 : 1);
  p.running_var[c] = static_cast<float>((1 - momentum) * static_cast<double>(p.running_var[c]) + momentum * unbiased);
  store_affine(static_cast<double>(p.gamma[c]), static_cast<double>(p.beta[c]), mean, invstd, p.scale + c, p.bias + c);
}

/// d_x = slope · ((g − constant) − (x − mean) · linear).
struct InputCoefficients {
  float mean, slope, linear, constant;
};

SWATH_HOST_DEVICE InputCoefficients input_coefficients(const NormInput& of, std::int64_t rows, std::int64_t channels,
                                                       std::int64_t c) {
  const float invstd = of.term.spread[c], n = static_cast<float>(rows);
  return {of.term.mean[c], of.term.gamma[c] * invstd, of.sums[c] * invstd / n, of.sums[channels + c] / n};
}

SWATH_HOST_DEVICE void store_parameter_gradients(const NormInput& of, std::int64_t channels, std::int64_t c) {
  const NormGradient& to = of.gradient;
  if (to.mode == GradMode::skip) return;
  const bool add = to.mode == GradMode::accumulate;
  to.d_gamma[c] = (add ? to.d_gamma[c] : 0.0f) + of.sums[c];
  to.d_beta[c] = (add ? to.d_beta[c] : 0.0f) + of.sums[channels + c];
}

}  // namespace swath::kernels
