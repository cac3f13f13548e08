// Scores of a split during training: any metrics at any K, and the distance overlap (methods.md §7, §8).
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/pack.h"
#include "recipes/recipe.h"

namespace swath {

/// Scores of one split.
struct ValidationScores {
  MetricTable table;              // the metrics and K of validation.retrieval
  double recall_at_1 = 0;         // asked for or not
  std::optional<double> overlap;  // of distances, where validation.overlap asks for it
  double embedding_seconds = 0, scoring_seconds = 0;
};

/// validation.part, then those of validation.also that are not it, each once.
std::vector<std::string> validation_parts(const ValidationOptions& options);
/// Throws UserError for a split with too few images for the K asked for, which would only show in the first validation.
void require_enough_images(const ValidationOptions& options, const PackedSet& data);
/// Embeds and scores a split. `progress` is called after every batch and may throw to stop. Several ranks embed it together,
/// and rank 0 scores it: the others learn the Recall@1.
ValidationScores validate(Device& device, Recipe& recipe, const TrainOptions& options, const PackedSplit& split,
                          Communicator& ranks, const std::function<void()>& progress);

}  // namespace swath
