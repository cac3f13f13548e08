// Row operations in naive loops, generic in the number type: double is the reference, float the naive implementation that sets
// the tolerance. methods.md §2 (unit rows), §4 (distances), §6 (margin).
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace swath::reference {

/// §2: every row of x (rows × cols) divided by max(|row|, 1e-12).
template <class T>
std::vector<T> unit_rows(const std::vector<T>& x, std::int64_t rows, std::int64_t cols) {
  std::vector<T> y(x.size());
  for (std::int64_t i = 0; i < rows; ++i) {
    T squares = 0;
    for (std::int64_t k = 0; k < cols; ++k) squares += x[i * cols + k] * x[i * cols + k];
    const T norm = std::max(std::sqrt(squares), T(1e-12));
    for (std::int64_t k = 0; k < cols; ++k) y[i * cols + k] = x[i * cols + k] / norm;
  }
  return y;
}

/// The gradient of unit_rows written as the projection off the unit row, for the naive float loop.
template <class T>
std::vector<T> unit_rows_gradient(const std::vector<T>& x, const std::vector<T>& d_y, std::int64_t rows, std::int64_t cols) {
  const std::vector<T> y = unit_rows(x, rows, cols);
  std::vector<T> d_x(x.size());
  for (std::int64_t i = 0; i < rows; ++i) {
    T squares = 0, projection = 0;
    for (std::int64_t k = 0; k < cols; ++k) {
      squares += x[i * cols + k] * x[i * cols + k];
      projection += y[i * cols + k] * d_y[i * cols + k];
    }
    const T norm = std::max(std::sqrt(squares), T(1e-12));
    for (std::int64_t k = 0; k < cols; ++k) d_x[i * cols + k] = (d_y[i * cols + k] - y[i * cols + k] * projection) / norm;
  }
  return d_x;
}

/// §4: the matrix of d_ij.
template <class T>
std::vector<T> distances(const std::vector<T>& x, std::int64_t rows, std::int64_t cols) {
  const auto product = [&](std::int64_t i, std::int64_t j) {
    T sum = 0;
    for (std::int64_t k = 0; k < cols; ++k) sum += x[i * cols + k] * x[j * cols + k];
    return sum;
  };
  std::vector<T> d(static_cast<std::size_t>(rows * rows));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < rows; ++j) {
      const T squared = product(i, i) + product(j, j) - 2 * product(i, j);
      d[i * rows + j] = i == j ? T(0) : std::sqrt(std::max(T(0), squared));
    }
  }
  return d;
}

struct Margin {
  std::int64_t cols = 0;
  std::vector<int> row_class;                       // empty: one β for all
  std::vector<std::vector<std::int32_t>> triplets;  // anchor, positive, negative
  double margin = 0.2, nu = 0.1;
  bool beta_fixed = false;
};

/// §6 Margin. `active` receives A.
template <class T>
T margin_loss(const Margin& m, const std::vector<T>& x, const std::vector<T>& beta, int* active = nullptr) {
  const auto distance = [&](std::int64_t i, std::int64_t j) {
    T squares = 0;
    for (std::int64_t k = 0; k < m.cols; ++k)
      squares += (x[i * m.cols + k] - x[j * m.cols + k]) * (x[i * m.cols + k] - x[j * m.cols + k]);
    return std::sqrt(squares + T(1e-8));
  };
  T sum = 0, penalty = 0;
  int count = 0;
  for (const auto& t : m.triplets) {
    const T b = beta[m.row_class.empty() ? 0 : m.row_class[t[0]]];
    const T pull = std::max(T(0), distance(t[0], t[1]) - b + T(m.margin));
    const T push = std::max(T(0), b - distance(t[0], t[2]) + T(m.margin));
    sum += pull + push;
    penalty += std::abs(b);
    count += pull > 0 || push > 0 ? 1 : 0;
  }
  if (m.row_class.empty()) penalty = std::abs(beta[0]);
  if (!m.beta_fixed) sum += T(m.nu) * penalty;
  if (active) *active = count;
  return count > 0 ? sum / T(count) : T(0);
}

}  // namespace swath::reference
