// t-SNE: embeddings as points of a plane (L. van der Maaten, G. Hinton, JMLR 2008; Barnes–Hut form, JMLR 2014; methods.md §8).
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "retrieval/retriever.h"
#include "retrieval/views.h"

namespace swath {

struct TsneOptions {
  double perplexity = 40;
  std::int64_t iterations = 1000;
  std::int64_t exaggerated_iterations = 250;  // the first ones, with the attraction times `exaggeration`
  double exaggeration = 12;
  double theta = 0.5;  // of Barnes and Hut; 0 sums every pair
  std::uint64_t seed = 0;
  RetrieverOptions retriever = {};
  std::function<void(std::int64_t done, std::int64_t total)> progress = {};  // after every iteration; may throw
};

struct Tsne {
  std::vector<float> points;  // [n][2]
  double kl = 0;              // Kullback–Leibler divergence of the plane's similarities from the affinities, all pairs summed
};

/// Rows are L2-normalised, as for an evaluation. Affinities over the 3 · perplexity + 1 nearest rows (all, where there are
/// fewer); gradient descent with gains, momentum 0.5, then 0.8 from rest after the exaggeration, step max(50, n / (4 ·
/// exaggeration)); it starts from the principal axes with a little noise drawn by `seed`. The same seed gives the same points,
/// bit for bit, with any number of threads. Throws UserError for options and shapes, and a perplexity that needs more rows;
/// NanError for embeddings that are not finite. Time: an exact search, then about n · log n an iteration; the divergence at the
/// end takes every pair once. Memory beside the retriever's: 4·n·d bytes for the normalised copy, 16 to 32 bytes per row and
/// neighbour, some 200 bytes per row.
Tsne tsne(EmbeddingView rows, const TsneOptions& options = {});

}  // namespace swath
