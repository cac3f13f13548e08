// NCA with a memory bank in naive dense loops, generic in the number type: double is the reference, float the naive
// implementation that sets the tolerance. methods.md §6 "NCA with memory bank".
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace swath::reference {

struct Nca {
  std::int64_t rows = 0, cols = 0, classes = 1;  // of the bank
  std::vector<std::int32_t> index;               // t(i); −1: no part
  std::vector<std::vector<int>> labels;          // rows × classes, 0 or 1
  double temperature = 0.05, margin = 0;

  std::int64_t batch() const { return static_cast<std::int64_t>(index.size()); }
  std::int64_t used() const {
    return std::count_if(index.begin(), index.end(), [](std::int32_t t) { return t >= 0; });
  }
  /// ℓ_ij.
  double similarity(std::int64_t i, std::int64_t j) const {
    int common = 0;
    for (std::int64_t c = 0; c < classes; ++c) common += labels[index[i]][c] * labels[j][c];
    return static_cast<double>(common) / static_cast<double>(classes);
  }
};

/// A row's s_ij, log P_i and log Z'_i, sums taken as logarithms so that no temperature overflows them.
template <class T>
struct NcaRow {
  std::vector<T> s, log_positive, log_total;  // of every j; −∞ without part
  T positive, total;                          // log P_i, log Z'_i
};

template <class T>
T log_sum(const std::vector<T>& logs) {
  const T shift = *std::max_element(logs.begin(), logs.end());
  if (shift == -std::numeric_limits<T>::infinity()) return shift;
  T sum = 0;
  for (const T v : logs) sum += std::exp(v - shift);
  return shift + std::log(sum);
}

template <class T>
NcaRow<T> nca_row(const Nca& n, const std::vector<T>& e, const std::vector<T>& bank, std::int64_t i) {
  constexpr T kNone = -std::numeric_limits<T>::infinity();
  NcaRow<T> row;
  const T kept = std::exp(-T(n.margin) / T(n.temperature));
  for (std::int64_t j = 0; j < n.rows; ++j) {
    T product = 0;
    for (std::int64_t k = 0; k < n.cols; ++k) product += e[i * n.cols + k] * bank[j * n.cols + k];
    const T s = product / T(n.temperature), similarity = T(n.similarity(i, j));
    row.s.push_back(s);
    row.log_positive.push_back(j == n.index[i] || similarity == 0 ? kNone : s + std::log(similarity));
    row.log_total.push_back(j == n.index[i] ? kNone : s + std::log(T(1) - similarity + similarity * kept));
  }
  row.positive = log_sum(row.log_positive);
  row.total = log_sum(row.log_total);
  return row;
}

template <class T>
bool takes_part(const NcaRow<T>& row) {
  return row.positive > -std::numeric_limits<T>::infinity();
}

template <class T>
T nca_loss(const Nca& n, const std::vector<T>& e, const std::vector<T>& bank) {
  T sum = 0;
  for (std::int64_t i = 0; i < n.batch(); ++i) {
    if (n.index[i] < 0) continue;
    const NcaRow<T> row = nca_row(n, e, bank, i);
    if (takes_part(row)) sum += row.total - row.positive + T(n.margin) / T(n.temperature);
  }
  return n.used() > 0 ? sum / T(n.used()) : T(0);
}

/// T · B · dL/ds_ij of a row: its share of Z' less its share of P.
template <class T>
std::vector<T> nca_weights(const NcaRow<T>& row) {
  std::vector<T> weights(row.s.size(), T(0));
  if (!takes_part(row)) return weights;
  for (std::size_t j = 0; j < weights.size(); ++j)
    weights[j] = std::exp(row.log_total[j] - row.total) - std::exp(row.log_positive[j] - row.positive);
  return weights;
}

/// dL/de by the chain rule. `round` is applied to every weight of a bank row.
template <class T, class Round>
std::vector<T> nca_gradient(const Nca& n, const std::vector<T>& e, const std::vector<T>& bank, const Round& round) {
  std::vector<T> gradient(e.size(), T(0));
  for (std::int64_t i = 0; i < n.batch(); ++i) {
    if (n.index[i] < 0) continue;
    const std::vector<T> weights = nca_weights(nca_row(n, e, bank, i));
    for (std::int64_t j = 0; j < n.rows; ++j) {
      for (std::int64_t k = 0; k < n.cols; ++k) gradient[i * n.cols + k] += round(weights[j]) * bank[j * n.cols + k];
    }
    for (std::int64_t k = 0; k < n.cols; ++k) gradient[i * n.cols + k] /= T(n.temperature) * T(n.used());
  }
  return gradient;
}

/// §6, the bank after the step: M_t(i) ← normalise(μ M_t(i) + (1 − μ) e_i), of equal t(i) the last.
template <class T>
std::vector<T> nca_bank_update(const Nca& n, const std::vector<T>& e, const std::vector<T>& bank, T momentum) {
  std::vector<T> after = bank;
  for (std::int64_t i = 0; i < n.batch(); ++i) {
    if (n.index[i] < 0) continue;
    T squares = 0;
    const std::int64_t at = n.index[i] * n.cols;
    for (std::int64_t k = 0; k < n.cols; ++k) {
      after[at + k] = momentum * bank[at + k] + (T(1) - momentum) * e[i * n.cols + k];
      squares += after[at + k] * after[at + k];
    }
    for (std::int64_t k = 0; k < n.cols; ++k) after[at + k] /= std::max(std::sqrt(squares), T(1e-12));
  }
  return after;
}

}  // namespace swath::reference
