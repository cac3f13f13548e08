// Affinities of t-SNE: how likely a row would pick another as its neighbour (L. van der Maaten, G. Hinton, JMLR 2008;
// methods.md §8).
#pragma once
#include <cstdint>
#include <vector>

#include "retrieval/retriever.h"

namespace swath {

/// A symmetric sparse matrix by rows: row i holds the entries start[i] … start[i + 1] − 1, columns ascending.
struct Affinities {
  std::int64_t rows = 0;
  std::vector<std::int64_t> start;    // [rows + 1]
  std::vector<std::int32_t> columns;  // [start[rows]]
  std::vector<float> values;          // as long as columns; all together they sum to 1
};

/// p_j|i ∝ exp(−β_i d_ij²) over the neighbours of row i, β_i such that the entropy of p_·|i is log(perplexity); then
/// p_ij = (p_j|i + p_i|j) / 2n. `neighbours` are those of the rows among themselves, and k > perplexity ≥ 1.
/// Where more than `perplexity` neighbours are equally near, β_i stops after 100 halvings: they share the row.
Affinities affinities(const Neighbours& neighbours, double perplexity);

}  // namespace swath
