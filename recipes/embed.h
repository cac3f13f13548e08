// Embeddings of a packed split by a trained recipe (methods.md §2, evaluation view of §1).
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "data/packed.h"
#include "recipes/recipe.h"

namespace swath {

struct EmbedOptions {
  std::int64_t batch_size = 64;
  std::int64_t crop = 0;
  DType activation = DType::f32;
  /// Called after every batch with images done and in all; may throw to stop.
  std::function<void(std::int64_t, std::int64_t)> progress;
};

/// Rows of the split in order: rows() × embedding_width() floats in host memory, centre crop, running statistics.
std::vector<float> embed_split(Device& device, Recipe& recipe, const PackedSplit& split, const EmbedOptions& options);

}  // namespace swath
