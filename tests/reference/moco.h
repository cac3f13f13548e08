// Fast MoCo in naive loops, generic in the number type: double is the reference, float the naive implementation that sets the
// tolerance. methods.md §6 "Fast MoCo", §5 (density of distances).
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace swath::reference {

struct Moco {
  std::int64_t rows = 0, keys = 0, cols = 0;  // rows in use, keys in the queue, width
  double tau = 0.07, lower_cutoff = 0.5, upper_cutoff = 1.4;
};

template <class T>
T product(const std::vector<T>& a, std::int64_t i, const std::vector<T>& b, std::int64_t j, std::int64_t cols) {
  T sum = 0;
  for (std::int64_t k = 0; k < cols; ++k) sum += a[i * cols + k] * b[j * cols + k];
  return sum;
}

/// ω, rows × keys: for every key the softmax over the rows of −log q(d) within the cutoff, uniform when none is.
template <class T>
std::vector<T> moco_weights(const Moco& m, const std::vector<T>& queries, const std::vector<T>& queue) {
  std::vector<T> weights(static_cast<std::size_t>(m.rows * m.keys));
  for (std::int64_t j = 0; j < m.keys; ++j) {
    std::vector<T> exponent(static_cast<std::size_t>(m.rows));
    std::vector<bool> within(static_cast<std::size_t>(m.rows));
    T largest = -std::numeric_limits<T>::infinity();
    for (std::int64_t i = 0; i < m.rows; ++i) {
      T d = std::sqrt(std::max(T(0), 2 - 2 * product(queries, i, queue, j, m.cols)));
      within[i] = d <= T(m.upper_cutoff);
      d = std::max(d, T(m.lower_cutoff));
      const T log_q = T(m.cols - 2) * std::log(d) + T(m.cols - 3) / 2 * std::log(std::max(T(1e-8), 1 - d * d / 4));
      exponent[i] = -log_q;
      if (within[i]) largest = std::max(largest, exponent[i]);
    }
    T sum = 0;
    for (std::int64_t i = 0; i < m.rows; ++i) sum += within[i] ? std::exp(exponent[i] - largest) : T(0);
    for (std::int64_t i = 0; i < m.rows; ++i) {
      T& weight = weights[i * m.keys + j];
      weight = sum == 0 ? T(1) / T(m.rows) : within[i] ? std::exp(exponent[i] - largest) / sum : T(0);
    }
  }
  return weights;
}

/// The loss with given weights (constants of its gradient).
template <class T>
T moco_loss(const Moco& m, const std::vector<T>& queries, const std::vector<T>& keys, const std::vector<T>& queue,
            const std::vector<T>& weights) {
  T total = 0;
  for (std::int64_t i = 0; i < m.rows; ++i) {
    std::vector<T> logits{product(queries, i, keys, i, m.cols) / T(m.tau)};
    for (std::int64_t j = 0; j < m.keys; ++j)
      logits.push_back(weights[i * m.keys + j] * product(queries, i, queue, j, m.cols) / T(m.tau));
    const T largest = *std::max_element(logits.begin(), logits.end());
    T sum = 0;
    for (const T l : logits) sum += std::exp(l - largest);
    total += largest + std::log(sum) - logits[0];
  }
  return m.rows > 0 ? total / T(m.rows) : T(0);
}

/// Its gradient by the chain rule, for the naive float loop.
template <class T>
std::vector<T> moco_gradient(const Moco& m, const std::vector<T>& queries, const std::vector<T>& keys,
                             const std::vector<T>& queue, const std::vector<T>& weights) {
  std::vector<T> gradient(static_cast<std::size_t>(m.rows * m.cols), T(0));
  for (std::int64_t i = 0; i < m.rows; ++i) {
    std::vector<T> logits{product(queries, i, keys, i, m.cols) / T(m.tau)};
    for (std::int64_t j = 0; j < m.keys; ++j)
      logits.push_back(weights[i * m.keys + j] * product(queries, i, queue, j, m.cols) / T(m.tau));
    const T largest = *std::max_element(logits.begin(), logits.end());
    T sum = 0;
    for (const T l : logits) sum += std::exp(l - largest);
    const T scale = 1 / (T(m.tau) * T(m.rows));
    for (std::int64_t k = 0; k < m.cols; ++k) {
      T g = (std::exp(logits[0] - largest) / sum - 1) * keys[i * m.cols + k];
      for (std::int64_t j = 0; j < m.keys; ++j)
        g += std::exp(logits[j + 1] - largest) / sum * weights[i * m.keys + j] * queue[j * m.cols + k];
      gradient[i * m.cols + k] = g * scale;
    }
  }
  return gradient;
}

}  // namespace swath::reference
