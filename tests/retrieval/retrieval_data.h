// Embeddings and labels for the tests of retrieval, in the engine's form and in the reference's.
#pragma once
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "retrieval/views.h"
#include "tests/reference/metrics.h"

namespace swath::test {

struct Rows {
  std::int64_t rows = 0, dim = 0;
  std::vector<float> data;
  EmbeddingView view() const { return {data.data(), rows, dim}; }
  reference::Matrix matrix() const {
    reference::Matrix m;
    for (std::int64_t i = 0; i < rows; ++i) m.emplace_back(data.begin() + i * dim, data.begin() + (i + 1) * dim);
    return m;
  }
};

inline Rows gaussian_rows(std::int64_t rows, std::int64_t dim, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Rows out{rows, dim, {}};
  for (std::int64_t i = 0; i < rows * dim; ++i) out.data.push_back(normal(random));
  return out;
}

/// Small integers: many exact ties and equal rows; every squared distance is exact.
inline Rows integer_rows(std::int64_t rows, std::int64_t dim, int largest, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> value(0, largest);
  Rows out{rows, dim, {}};
  for (std::int64_t i = 0; i < rows * dim; ++i) out.data.push_back(static_cast<float>(value(random)));
  return out;
}

/// Clusters whose radius is near the rounding of float32 distances between their centres.
inline Rows tight_clusters(std::int64_t rows, std::int64_t dim, int clusters, float radius, unsigned seed) {
  const Rows centres = gaussian_rows(clusters, dim, seed);
  std::mt19937 random(seed + 1);
  std::normal_distribution<float> normal;
  Rows out{rows, dim, {}};
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t c = 0; c < dim; ++c)
      out.data.push_back((centres.data[(i % clusters) * dim + c] + radius * normal(random)) /
                         std::sqrt(static_cast<float>(dim)));
  return out;
}

struct LabelRows {
  std::int64_t classes = 0;
  std::vector<std::uint64_t> words;
  std::vector<reference::LabelSet> sets;
  LabelView view() const { return {words.data(), static_cast<std::int64_t>(sets.size()), classes}; }
};

inline LabelRows label_rows(const std::vector<reference::LabelSet>& sets, std::int64_t classes) {
  LabelRows out{classes, {}, sets};
  const std::int64_t words = (classes + 63) / 64;
  out.words.resize(sets.size() * words);
  for (std::size_t i = 0; i < sets.size(); ++i)
    for (int c : sets[i]) out.words[i * words + c / 64] |= std::uint64_t{1} << (c % 64);
  return out;
}

/// Each row has 0 … most labels.
inline LabelRows random_labels(std::int64_t rows, int classes, int most, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<reference::LabelSet> sets(rows);
  for (auto& set : sets)
    for (int n = std::uniform_int_distribution<int>(0, most)(random); n > 0; --n)
      set.insert(std::uniform_int_distribution<int>(0, classes - 1)(random));
  return label_rows(sets, classes);
}

}  // namespace swath::test
