// What retrieval reads: embeddings and label sets of the caller, by pointer (methods.md §8).
#pragma once
#include <cstdint>

namespace swath {

/// Embeddings in host memory: float [rows][dim], dense. Finite; need not be normalised.
struct EmbeddingView {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t dim = 0;

  const float* row(std::int64_t i) const { return data + i * dim; }
};

/// Label sets in host memory: uint64 [rows][words()]; class c is bit c % 64 of word c / 64, higher bits are 0.
struct LabelView {
  const std::uint64_t* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t classes = 0;

  std::int64_t words() const { return (classes + 63) / 64; }
  const std::uint64_t* row(std::int64_t i) const { return data + i * words(); }
  bool has(std::int64_t i, std::int64_t c) const { return (row(i)[c / 64] >> (c % 64)) & 1; }
};

}  // namespace swath
