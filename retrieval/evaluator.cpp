// Evaluation: normalise, retrieve, score (methods.md §8).
#include "retrieval/evaluator.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>

#include "kernels/parallel.h"

namespace swath {
namespace {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Squared L2 norm in double.
double squared_norm(const float* row, std::int64_t dim) {
  double sum = 0;
  for (std::int64_t c = 0; c < dim; ++c) sum += static_cast<double>(row[c]) * row[c];
  return sum;
}

void check_rows(const LabelledEmbeddings& rows, const char* what) {
  if (rows.embeddings.rows != rows.labels.rows)
    throw UserError(fmt::format("the {} have {} embeddings but {} rows of labels; give one label row each", what,
                                rows.embeddings.rows, rows.labels.rows));
}

Evaluation score(const LabelledEmbeddings& queries, const LabelledEmbeddings* gallery, const EvaluateOptions& options) {
  const LabelledEmbeddings& base = gallery ? *gallery : queries;
  check_rows(queries, "queries");
  check_rows(base, "gallery rows");
  const std::int64_t k = options.ks.empty() ? 0 : *std::max_element(options.ks.begin(), options.ks.end());
  Evaluation evaluation;
  evaluation.neighbours.queries = queries.embeddings.rows;
  evaluation.neighbours.k = k;
  const MetricInput request{.neighbours = &evaluation.neighbours,
                            .query_labels = queries.labels,
                            .gallery_labels = base.labels,
                            .queries_are_gallery = gallery == nullptr,
                            .ks = options.ks,
                            .metrics = options.metrics};
  check_metric_input(request);
  {
    const Stopwatch watch;
    const auto retriever = make_retriever(options.retriever);
    const std::vector<float> unit = normalised(queries.embeddings);
    const EmbeddingView view{unit.data(), queries.embeddings.rows, queries.embeddings.dim};
    if (gallery) {
      const std::vector<float> unit_gallery = normalised(gallery->embeddings);
      evaluation.neighbours =
          retriever->search(view, {unit_gallery.data(), gallery->embeddings.rows, gallery->embeddings.dim}, k);
    } else {
      evaluation.neighbours = retriever->search_all(view, k);
    }
    evaluation.retriever = retriever->name();
    evaluation.search_seconds = watch.seconds();
  }
  const Stopwatch watch;
  evaluation.table = compute_metrics(request);
  evaluation.metric_seconds = watch.seconds();
  return evaluation;
}

}  // namespace

std::vector<float> normalised(EmbeddingView rows) {
  std::vector<float> unit(rows.rows * rows.dim);
  std::atomic<bool> finite{true};
  kernels::parallel_for(rows.rows, [&](std::int64_t i) {
    const double squared = squared_norm(rows.row(i), rows.dim);
    if (!std::isfinite(squared)) finite = false;
    const double scale = squared > 0 ? 1 / std::sqrt(squared) : 0;
    for (std::int64_t c = 0; c < rows.dim; ++c) unit[i * rows.dim + c] = static_cast<float>(rows.row(i)[c] * scale);
  });
  for (std::int64_t i = 0; !finite; ++i)
    if (!std::isfinite(squared_norm(rows.row(i), rows.dim)))
      throw NanError(fmt::format("embedding {} is not finite; the model that made it has diverged", i));
  return unit;
}

Neighbours nearest_others(EmbeddingView rows, std::int64_t k, const RetrieverOptions& options) {
  const std::vector<float> unit = normalised(rows);
  return make_retriever(options)->search_all({unit.data(), rows.rows, rows.dim}, k);
}

Evaluation evaluate(const LabelledEmbeddings& rows, const EvaluateOptions& options) { return score(rows, nullptr, options); }

Evaluation evaluate(const LabelledEmbeddings& queries, const LabelledEmbeddings& gallery, const EvaluateOptions& options) {
  return score(queries, &gallery, options);
}

}  // namespace swath
