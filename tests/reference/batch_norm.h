// Batch normalisation, naive loops (methods.md §2). Real = double is the reference, Real = float the naive loop whose error
// sets the tolerance.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace swath::reference {

template <class Real>
struct BatchNormProblem {
  std::int64_t rows = 0, channels = 0;
  std::vector<Real> x, residual, gamma, beta;                   // residual may be empty
  std::vector<Real> shortcut_x, shortcut_gamma, shortcut_beta;  // a second term, normalised by its own statistics; may be empty
  bool relu = false;
  Real eps = Real(1e-5);
};

template <class Real>
struct BatchNormStatistics {
  std::vector<Real> mean, variance;  // biased
};

template <class Real>
BatchNormStatistics<Real> batch_norm_statistics(const BatchNormProblem<Real>& p) {
  BatchNormStatistics<Real> s{std::vector<Real>(p.channels, 0), std::vector<Real>(p.channels, 0)};
  for (std::int64_t c = 0; c < p.channels; ++c) {
    for (std::int64_t r = 0; r < p.rows; ++r) s.mean[c] += p.x[r * p.channels + c];
    s.mean[c] /= static_cast<Real>(p.rows);
    for (std::int64_t r = 0; r < p.rows; ++r) {
      const Real d = p.x[r * p.channels + c] - s.mean[c];
      s.variance[c] += d * d;
    }
    s.variance[c] /= static_cast<Real>(p.rows);
  }
  return s;
}

/// The second term as a problem of its own.
template <class Real>
BatchNormProblem<Real> batch_norm_shortcut(const BatchNormProblem<Real>& p) {
  BatchNormProblem<Real> q;
  q.rows = p.rows;
  q.channels = p.channels;
  q.x = p.shortcut_x;
  q.gamma = p.shortcut_gamma;
  q.beta = p.shortcut_beta;
  q.eps = p.eps;
  return q;
}

/// y = act(γ (x − μ) / sqrt(σ² + eps) + β + residual) with given statistics.
template <class Real>
std::vector<Real> batch_norm_apply(const BatchNormProblem<Real>& p, const BatchNormStatistics<Real>& s) {
  std::vector<Real> y(p.x.size());
  for (std::int64_t r = 0; r < p.rows; ++r) {
    for (std::int64_t c = 0; c < p.channels; ++c) {
      const std::int64_t i = r * p.channels + c;
      y[i] = p.gamma[c] * (p.x[i] - s.mean[c]) / std::sqrt(s.variance[c] + p.eps) + p.beta[c];
      if (!p.residual.empty()) y[i] += p.residual[i];
      if (p.relu && y[i] < 0) y[i] = 0;
    }
  }
  return y;
}

/// The same with the batch's statistics, and with the second term where there is one.
template <class Real>
std::vector<Real> batch_norm_forward(BatchNormProblem<Real> p) {
  if (!p.shortcut_x.empty()) {
    const BatchNormProblem<Real> q = batch_norm_shortcut(p);
    p.residual = batch_norm_apply(q, batch_norm_statistics(q));
  }
  return batch_norm_apply(p, batch_norm_statistics(p));
}

template <class Real>
struct BatchNormGradients {
  std::vector<Real> x, residual, gamma, beta;  // residual: the gradient after ReLU's mask
  std::vector<Real> shortcut_x = {}, shortcut_gamma = {}, shortcut_beta = {};
};

/// The chain rule written out; its test compares it with central differences of the forward formula.
template <class Real>
BatchNormGradients<Real> batch_norm_gradients(const BatchNormProblem<Real>& p, const std::vector<Real>& d_y) {
  const BatchNormStatistics<Real> s = batch_norm_statistics(p);
  const std::vector<Real> y = batch_norm_forward(p);
  BatchNormGradients<Real> g{std::vector<Real>(p.x.size()), d_y, std::vector<Real>(p.channels, 0),
                             std::vector<Real>(p.channels, 0)};
  for (std::size_t i = 0; i < y.size(); ++i)
    if (p.relu && !(y[i] > 0)) g.residual[i] = 0;
  for (std::int64_t c = 0; c < p.channels; ++c) {
    const Real deviation = std::sqrt(s.variance[c] + p.eps), n = static_cast<Real>(p.rows);
    for (std::int64_t r = 0; r < p.rows; ++r) {
      const std::int64_t i = r * p.channels + c;
      g.beta[c] += g.residual[i];
      g.gamma[c] += g.residual[i] * (p.x[i] - s.mean[c]) / deviation;
    }
    for (std::int64_t r = 0; r < p.rows; ++r) {
      const std::int64_t i = r * p.channels + c;
      const Real normal = (p.x[i] - s.mean[c]) / deviation;
      g.x[i] = p.gamma[c] / deviation * (g.residual[i] - g.beta[c] / n - normal * g.gamma[c] / n);
    }
  }
  if (!p.shortcut_x.empty()) {
    const BatchNormGradients<Real> of_shortcut = batch_norm_gradients(batch_norm_shortcut(p), g.residual);
    g.shortcut_x = of_shortcut.x;
    g.shortcut_gamma = of_shortcut.gamma;
    g.shortcut_beta = of_shortcut.beta;
  }
  return g;
}

}  // namespace swath::reference
