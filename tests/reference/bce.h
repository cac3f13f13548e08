// Binary cross-entropy with logits in naive loops, generic in the number type. methods.md §6 "BCE with logits".
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace swath::reference {

/// `labels`: rows × classes of 0 or 1, as `x`.
template <class T>
T bce_loss(const std::vector<T>& x, const std::vector<int>& labels) {
  T sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    sum += std::max(x[i], T(0)) - x[i] * T(labels[i]) + std::log1p(std::exp(-std::abs(x[i])));
  return x.empty() ? T(0) : sum / T(x.size());
}

template <class T>
std::vector<T> bce_gradient(const std::vector<T>& x, const std::vector<int>& labels) {
  std::vector<T> d(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    // σ(x) − 1 = −σ(−x), without the cancellation.
    d[i] = (labels[i] ? -1 / (1 + std::exp(x[i])) : 1 / (1 + std::exp(-x[i]))) / T(x.size());
  }
  return d;
}

}  // namespace swath::reference
