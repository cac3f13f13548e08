// The weight-norm regulariser of one linear layer in naive loops, generic in the number type. methods.md §7 "BIER".
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace swath::reference {

template <class T>
T square(const T* x, std::int64_t n) {
  T sum = 0;
  for (std::int64_t k = 0; k < n; ++k) sum += x[k] * x[k];
  return sum;
}

/// weight: rows × cols; an empty bias has no term.
template <class T>
T weight_norm_loss(const std::vector<T>& weight, std::int64_t rows, std::int64_t cols, const std::vector<T>& bias) {
  T sum = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const T excess = square(weight.data() + r * cols, cols) - 1;
    sum += excess * excess;
  }
  T loss = rows > 0 ? sum / T(rows) : T(0);
  if (!bias.empty()) loss += std::max(T(0), square(bias.data(), static_cast<std::int64_t>(bias.size())) - 1);
  return loss;
}

template <class T>
std::vector<T> weight_norm_gradient(const std::vector<T>& weight, std::int64_t rows, std::int64_t cols) {
  std::vector<T> d(weight.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    const T excess = square(weight.data() + r * cols, cols) - 1;
    for (std::int64_t k = 0; k < cols; ++k) d[r * cols + k] = 4 * excess * weight[r * cols + k] / T(rows);
  }
  return d;
}

template <class T>
std::vector<T> bias_norm_gradient(const std::vector<T>& bias) {
  std::vector<T> d(bias.size());
  if (square(bias.data(), static_cast<std::int64_t>(bias.size())) <= 1) return d;
  for (std::size_t k = 0; k < bias.size(); ++k) d[k] = 2 * bias[k];
  return d;
}

}  // namespace swath::reference
