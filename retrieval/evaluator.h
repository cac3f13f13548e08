// Evaluation of embeddings: normalise, retrieve, score (methods.md §8).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/config.h"
#include "retrieval/metrics.h"
#include "retrieval/retriever.h"
#include "retrieval/views.h"

namespace swath {

struct EvaluateOptions {
  std::vector<std::int64_t> ks = {1, 2, 4, 8};
  std::vector<std::string> metrics;  // empty: all
  RetrieverOptions retriever;
  template <class V>
  void fields(V& v) {
    v("ks", ks, "numbers of neighbours K at which every metric is reported (methods.md §8)", Range{1, 1e9});
    v("metrics", metrics, "metrics to report; none named means all", OneOf{metric_names()});
    v("retriever", retriever, "nearest-neighbour search");
  }
};

/// Embeddings with the label sets of the same rows.
struct LabelledEmbeddings {
  EmbeddingView embeddings;
  LabelView labels;
};

struct Evaluation {
  MetricTable table;
  Neighbours neighbours;  // of the largest K; ids are rows of the gallery, or of the queries without one
  std::string retriever;  // "FAISS 1.7.3, CPU"
  double search_seconds = 0;
  double metric_seconds = 0;
};

/// Scores every row against the others, itself excluded by index. Throws UserError for shapes, K > rows − 1, unknown
/// metrics; NanError when an embedding is not finite. Rows are L2-normalised into a copy; a zero row stays zero.
/// Memory: that copy (4·n·d bytes), 12·n·K bytes of neighbours, and the retriever's (retriever.h).
Evaluation evaluate(const LabelledEmbeddings& rows, const EvaluateOptions& options = {});
/// Scores the queries against a gallery; K ≤ gallery rows.
Evaluation evaluate(const LabelledEmbeddings& queries, const LabelledEmbeddings& gallery, const EvaluateOptions& options = {});

/// Copy with rows divided by their L2 norm, computed in double; a zero row stays zero. Throws NanError that names the
/// first row that is not finite.
std::vector<float> normalised(EmbeddingView rows);

/// The k nearest others of every row after L2 normalisation: the lists that evaluate() scores. Throws as evaluate().
Neighbours nearest_others(EmbeddingView rows, std::int64_t k, const RetrieverOptions& options = {});

}  // namespace swath
