#include "recipes/validation.h"

#include <algorithm>

#include "recipes/embed.h"
#include "recipes/label_view.h"
#include "recipes/run_timing.h"
#include "retrieval/overlap.h"

namespace swath {

namespace {

template <class T>
bool contains(const std::vector<T>& values, const T& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

/// What is asked for, and Recall@1, which chooses the best checkpoint.
EvaluateOptions with_recall_at_1(EvaluateOptions options) {
  if (!contains<std::int64_t>(options.ks, 1)) options.ks.push_back(1);
  if (!options.metrics.empty() && !contains<std::string>(options.metrics, "recall")) options.metrics.emplace_back("recall");
  return options;
}

/// The rows and columns that were asked for.
MetricTable selected(const MetricTable& table, const EvaluateOptions& asked) {
  MetricTable result;
  for (const std::int64_t k : table.ks)
    if (contains(asked.ks, k)) result.ks.push_back(k);
  for (const auto& [name, values] : table.rows) {
    if (!asked.metrics.empty() && !contains(asked.metrics, name)) continue;
    std::vector<double> kept;
    for (std::size_t i = 0; i < values.size(); ++i)
      if (contains(asked.ks, table.ks[i])) kept.push_back(values[i]);
    result.rows.emplace_back(name, kept);
  }
  return result;
}

ValidationScores scores_of(const std::vector<float>& embeddings, std::int64_t width, const TrainOptions& options,
                           const PackedSplit& split) {
  const LabelledEmbeddings rows{{embeddings.data(), split.rows(), width}, view_of(split.labels())};
  const MetricTable table = evaluate(rows, with_recall_at_1(options.validation.retrieval)).table;
  ValidationScores scores;
  scores.table = selected(table, options.validation.retrieval);
  scores.recall_at_1 = table.at("recall", 1);
  if (options.validation.overlap) scores.overlap = distance_overlap(rows.embeddings, rows.labels).overlap;
  return scores;
}

}  // namespace

std::vector<std::string> validation_parts(const ValidationOptions& options) {
  std::vector<std::string> parts{options.part};
  for (const std::string& part : options.also)
    if (!contains(parts, part)) parts.push_back(part);
  return parts;
}

void require_enough_images(const ValidationOptions& options, const PackedSet& data) {
  for (const std::string& part : validation_parts(options)) {
    const std::int64_t rows = data[part_named(part, "validation.also")].rows();
    for (const std::int64_t k : with_recall_at_1(options.retrieval).ks)
      if (k >= rows)
        throw UserError(fmt::format("validation.retrieval.ks asks for {} neighbours, but {} has {} images; choose at most {}",
                                    k, part, rows, rows - 1));
  }
}

ValidationScores validate(Device& device, Recipe& recipe, const TrainOptions& options, const PackedSplit& split,
                          Communicator& ranks, const std::function<void()>& progress) {
  EmbedOptions embedding = embed_options(options);
  embedding.ranks = &ranks;
  embedding.progress = [&](std::int64_t, std::int64_t) { progress(); };
  const double started = steady_seconds();
  const std::vector<float> embeddings = embed_split(device, recipe, split, embedding);
  const double embedded = steady_seconds();
  ValidationScores scores;
  if (ranks.leads()) scores = scores_of(embeddings, recipe.embedding_width(), options, split);
  scores.embedding_seconds = embedded - started;
  scores.scoring_seconds = steady_seconds() - embedded;
  ranks.broadcast(&scores.recall_at_1, sizeof scores.recall_at_1, 0);
  return scores;
}

}  // namespace swath
