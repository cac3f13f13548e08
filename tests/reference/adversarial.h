// Adversarial decorrelation in naive loops, generic in the number type. methods.md §6 "Adversarial decorrelation".
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/reference/rows.h"

namespace swath::reference {

/// −weight · mean over the first `used` rows and the columns of (target ∘ normalise(prediction))².
template <class T>
T adversarial_loss(const std::vector<T>& target, const std::vector<T>& prediction, std::int64_t used, std::int64_t cols,
                   T weight) {
  const std::vector<T> r =
      unit_rows(prediction, static_cast<std::int64_t>(prediction.size()) / std::max<std::int64_t>(1, cols), cols);
  T sum = 0;
  for (std::int64_t i = 0; i < used * cols; ++i) sum += target[i] * r[i] * (target[i] * r[i]);
  return used * cols > 0 ? -weight * sum / T(used * cols) : T(0);
}

/// Gradients by target and by prediction.
template <class T>
struct AdversarialGradient {
  std::vector<T> target, prediction;
};

template <class T>
AdversarialGradient<T> adversarial_gradient(const std::vector<T>& target, const std::vector<T>& prediction, std::int64_t used,
                                            std::int64_t cols, T weight) {
  const std::int64_t rows = static_cast<std::int64_t>(prediction.size()) / std::max<std::int64_t>(1, cols);
  const std::vector<T> r = unit_rows(prediction, rows, cols);
  std::vector<T> d_target(target.size()), d_r(target.size());
  for (std::int64_t i = 0; i < used * cols; ++i) {
    d_target[i] = -2 * weight * target[i] * r[i] * r[i] / T(used * cols);
    d_r[i] = -2 * weight * target[i] * target[i] * r[i] / T(used * cols);
  }
  return {d_target, unit_rows_gradient(prediction, d_r, rows, cols)};
}

/// One direction's regressor: hidden = relu(x W1ᵀ + b1), prediction = hidden W2ᵀ + b2.
template <class T>
struct Regressor {
  std::int64_t in = 0, hidden = 0, out = 0;
  std::vector<T> w1, b1, w2, b2;
};

template <class T>
std::vector<T> regress(const Regressor<T>& g, const std::vector<T>& x, std::int64_t rows) {
  std::vector<T> prediction;
  for (std::int64_t i = 0; i < rows; ++i) {
    std::vector<T> hidden;
    for (std::int64_t h = 0; h < g.hidden; ++h) {
      T sum = g.b1[h];
      for (std::int64_t k = 0; k < g.in; ++k) sum += x[i * g.in + k] * g.w1[h * g.in + k];
      hidden.push_back(std::max(T(0), sum));
    }
    for (std::int64_t o = 0; o < g.out; ++o) {
      T sum = g.b2[o];
      for (std::int64_t h = 0; h < g.hidden; ++h) sum += hidden[h] * g.w2[o * g.hidden + h];
      prediction.push_back(sum);
    }
  }
  return prediction;
}

}  // namespace swath::reference
