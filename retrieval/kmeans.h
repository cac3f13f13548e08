// k-means with FAISS (methods.md §7, D&C), on the CPU or the GPU as the retriever of the configuration.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/config.h"
#include "retrieval/retriever.h"

namespace swath {

struct KMeansOptions {
  std::int64_t clusters = 8;
  std::int64_t iterations = 100;
  std::int64_t pca = 0;
  RetrieverOptions retriever;

  template <class V>
  void fields(V& v) {
    v("clusters", clusters, "clusters K", Range{1, 65536});
    v("iterations", iterations, "iterations of k-means", Range{1, 100000});
    v("pca", pca, "principal components that are clustered instead of the features; 0: the features themselves",
      Range{0, 65536});
    v("retriever", retriever, "which FAISS clusters");
  }
};

struct Clusters {
  std::vector<std::int64_t> assignment;  // rows: cluster 0 … K − 1
  std::vector<float> centroids;          // K × dim, or K × pca
  double objective = 0;                  // Σ squared distances to the assigned centroid
  std::string retriever;                 // which FAISS clustered: Retriever::name()
};

/// Lloyd's iterations over all rows from K of them, drawn by `seed`. The same seed gives the same clusters on one machine with
/// one number of threads. Where there are fewer distinct rows than clusters, some stay empty.
/// Throws UserError that names the key for more clusters than rows, or more components than rows or columns; `path` is where
/// the options stand in the configuration. Throws NanError for a row that is not finite.
/// Time: FAISS's search of rows × K distances an iteration. Memory: rows × pca floats when components are clustered.
Clusters kmeans(EmbeddingView rows, const KMeansOptions& options, std::uint64_t seed, const std::string& path = "");

}  // namespace swath
