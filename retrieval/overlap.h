// Distance overlap: how far the distances of pairs that share a label overlap those of pairs that share none (methods.md §8).
#pragma once
#include <array>
#include <cstdint>

#include "engine/core/config.h"
#include "retrieval/views.h"

namespace swath {

constexpr int kOverlapBins = 64;

struct DistanceOverlap {
  std::int64_t anchor_class = -1;  // the most frequent class, the lower index of equals
  std::int64_t intra_pairs = 0;    // share a label
  std::int64_t inter_pairs = 0;    // share none
  double min_distance = 0;
  double max_distance = 0;
  std::array<double, kOverlapBins> intra{};  // shares of intra_pairs per bin; 0 when there are none
  std::array<double, kOverlapBins> inter{};
  double overlap = 0;  // Σ min(intra, inter), in [0, 1]

  double bin_width() const { return (max_distance - min_distance) / kOverlapBins; }
  Json to_json() const;
};

/// Over all pairs i < j with at least one row of the most frequent class, none sampled. Rows are L2-normalised first.
/// Two passes over the pairs, distances from blocked products in double. Memory: 4·n·d bytes for the normalised copy,
/// 12·d KB for two blocks of rows, 4 MiB for a block of pairs. Without any label all counts are 0;
/// where all distances are equal they lie in the last bin.
/// Throws UserError for shapes, NanError for embeddings that are not finite.
DistanceOverlap distance_overlap(EmbeddingView rows, LabelView labels);

}  // namespace swath
