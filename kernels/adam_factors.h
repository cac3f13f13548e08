// The scalars of one Adam update, computed in double as PyTorch does (methods.md §3); the same on host and device.
#pragma once
#include <cmath>

#include "kernels/adam.h"
#include "kernels/half.h"

namespace swath::kernels {

struct AdamFactors {
  float m_weight;   // 1 − β₁
  float v_decay;    // β₂
  float v_weight;   // 1 − β₂
  float root;       // sqrt(1 − β₂ᵗ)
  float step_size;  // lr / (1 − β₁ᵗ)
  float eps;
  float coupled_decay;  // added to the gradient, times the value
  float shrink;         // multiplies the value
  float grad_factor;    // multiplies the gradient, before the element's update
};

SWATH_HOST_DEVICE AdamFactors adam_factors(const AdamArgs& p, const UpdateStretch& s) {
  const double t = static_cast<double>(*p.step), rate = static_cast<double>(*s.learning_rate);
  AdamFactors f;
  f.m_weight = static_cast<float>(1 - p.beta1);
  f.v_decay = static_cast<float>(p.beta2);
  f.v_weight = static_cast<float>(1 - p.beta2);
  f.root = static_cast<float>(sqrt(1 - pow(p.beta2, t)));
  f.step_size = static_cast<float>(rate / (1 - pow(p.beta1, t)));
  f.eps = static_cast<float>(p.eps);
  f.coupled_decay = p.decay == WeightDecay::coupled ? static_cast<float>(s.weight_decay) : 0.0f;
  f.shrink = p.decay == WeightDecay::decoupled ? static_cast<float>(1 - rate * s.weight_decay) : 1.0f;
  f.grad_factor = p.grad_factor ? *p.grad_factor : 1.0f;
  return f;
}

SWATH_HOST_DEVICE void adam_element(const AdamFactors& f, float grad, float& value, float& m, float& v) {
  const float g = grad + f.coupled_decay * value;
  m = m + f.m_weight * (g - m);
  v = v * f.v_decay + f.v_weight * g * g;
  value = value * f.shrink - f.step_size * m / (sqrtf(v) / f.root + f.eps);
}

}  // namespace swath::kernels
