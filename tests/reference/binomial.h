// Boosted binomial deviance in naive loops, generic in the number type: double is the reference, float the naive implementation
// that sets the tolerance. methods.md §6 "Binomial deviance, boosted".
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace swath::reference {

struct Binomial {
  std::vector<std::int64_t> widths;     // of the learners, side by side in a row
  std::vector<std::int32_t> row_class;  // rows in use; −1 takes no part
  double alpha = 2, cost = 25, nu = 0.1;
  bool eta_style = true, beta_fixed = false;

  std::int64_t rows() const { return static_cast<std::int64_t>(row_class.size()); }
  std::int64_t cols() const {
    std::int64_t sum = 0;
    for (const std::int64_t w : widths) sum += w;
    return sum;
  }
  bool same(std::int64_t i, std::int64_t j) const { return row_class[i] == row_class[j]; }
  /// Whether (i, j) has a weight at all.
  bool counts(std::int64_t i, std::int64_t j) const { return i != j && row_class[i] >= 0 && row_class[j] >= 0; }
};

/// W: 1/#same, 1/#different; #same counts the diagonal. rows × rows.
template <class T>
std::vector<T> binomial_pair_weights(const Binomial& b) {
  std::int64_t same = 0, different = 0;
  for (std::int64_t i = 0; i < b.rows(); ++i) {
    for (std::int64_t j = 0; j < b.rows(); ++j) {
      if (b.row_class[i] >= 0 && b.row_class[j] >= 0) ++(b.same(i, j) ? same : different);
    }
  }
  std::vector<T> weights(static_cast<std::size_t>(b.rows() * b.rows()), T(0));
  for (std::int64_t i = 0; i < b.rows(); ++i) {
    for (std::int64_t j = 0; j < b.rows(); ++j) {
      if (b.counts(i, j)) weights[i * b.rows() + j] = T(1) / T(b.same(i, j) ? same : different);
    }
  }
  return weights;
}

/// a_k of the pair (i, j) for every learner.
template <class T>
std::vector<T> binomial_scores(const Binomial& b, const std::vector<T>& x, T beta, std::int64_t i, std::int64_t j) {
  std::vector<T> scores;
  const std::int64_t cols = b.cols();
  std::int64_t begin = 0;
  for (const std::int64_t width : b.widths) {
    T product = 0;
    for (std::int64_t c = begin; c < begin + width; ++c) product += x[i * cols + c] * x[j * cols + c];
    scores.push_back(T(b.alpha) * (product - beta) * (b.same(i, j) ? T(1) : T(-b.cost)));
    begin += width;
  }
  return scores;
}

/// w_k of every pair: learners × rows × rows.
template <class T>
std::vector<T> binomial_boosting(const Binomial& b, const std::vector<T>& x, T beta) {
  const std::int64_t rows = b.rows();
  std::vector<T> boosting(b.widths.size() * static_cast<std::size_t>(rows * rows), T(1));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < rows; ++j) {
      const std::vector<T> a = binomial_scores(b, x, beta, i, j);
      T ensemble = b.eta_style ? T(0) : T(0.5);
      for (std::size_t k = 0; k + 1 < a.size(); ++k) {
        const T eta = T(2) / T(k + 2);
        ensemble = b.eta_style ? (1 - eta) * ensemble + eta * a[k] : ensemble + T(0.06) * a[k];
        const T weight = 1 / (1 + std::exp(ensemble));
        boosting[(k + 1) * static_cast<std::size_t>(rows * rows) + i * rows + j] =
            weight * (b.eta_style || b.same(i, j) ? T(1) : T(2));
      }
    }
  }
  return boosting;
}

/// The loss for given boosting weights, which are constants to the gradient.
template <class T>
T binomial_loss(const Binomial& b, const std::vector<T>& x, T beta, const std::vector<T>& boosting) {
  const std::int64_t rows = b.rows();
  const std::vector<T> pair_weights = binomial_pair_weights<T>(b);
  const T learners = T(b.widths.size());
  T sum = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < rows; ++j) {
      if (!b.counts(i, j)) continue;
      const std::vector<T> a = binomial_scores(b, x, beta, i, j);
      for (std::size_t k = 0; k < a.size(); ++k) {
        const T softplus = std::max(-a[k], T(0)) + std::log1p(std::exp(-std::abs(a[k])));
        sum += softplus * boosting[k * static_cast<std::size_t>(rows * rows) + i * rows + j] * pair_weights[i * rows + j] /
               learners;
      }
    }
  }
  return b.beta_fixed ? sum : sum + learners * T(b.nu) * std::abs(beta);
}

}  // namespace swath::reference
