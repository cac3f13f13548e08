// One step of Adam, AdamW and SGD on one value, as PyTorch documents them (methods.md §3).
#pragma once
#include <cmath>

namespace swath::reference {

struct AdamOptions {
  double rate = 0, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0;
  bool decoupled = false;
};

template <class Real>
void adam_step(const AdamOptions& o, int step, Real grad, Real& value, Real& m, Real& v) {
  if (o.decoupled) {
    value *= static_cast<Real>(1 - o.rate * o.decay);
  } else {
    grad += static_cast<Real>(o.decay) * value;
  }
  m = static_cast<Real>(o.beta1) * m + static_cast<Real>(1 - o.beta1) * grad;
  v = static_cast<Real>(o.beta2) * v + static_cast<Real>(1 - o.beta2) * grad * grad;
  const Real m_hat = m / static_cast<Real>(1 - std::pow(o.beta1, step)),
             v_hat = v / static_cast<Real>(1 - std::pow(o.beta2, step));
  value -= static_cast<Real>(o.rate) * m_hat / (std::sqrt(v_hat) + static_cast<Real>(o.eps));
}

template <class Real>
void sgd_step(Real rate, Real momentum, Real decay, int step, Real grad, Real& value, Real& buffer) {
  grad += decay * value;
  buffer = step == 1 ? grad : momentum * buffer + grad;
  value -= rate * buffer;
}

}  // namespace swath::reference
