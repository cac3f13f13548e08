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
  /// Who embeds a split together: each takes whole batches, and all get all rows.
  Communicator* ranks = &sole_rank();
  /// Called after every batch with images done (by this rank) and in all; may throw to stop.
  std::function<void(std::int64_t, std::int64_t)> progress;
};

/// As a run of these options embeds.
EmbedOptions embed_options(const TrainOptions& options);

/// N×crop×crop×C standardised images → N×width rows (f32); the tape is in its evaluation phase.
using EmbedImages = std::function<Tensor(Tape& tape, const Tensor& images)>;

/// Embeddings of `n` images of the form `image` in host memory: n × embedding_width() floats, centre crop, running statistics.
std::vector<float> embed_images(Device& device, Recipe& recipe, const ImageSpec& image, const void* pixels, std::int64_t n,
                                const EmbedOptions& options);

/// Rows of the split in order: rows() × width floats in host memory, centre crop, running statistics.
std::vector<float> embed_split(Device& device, const EmbedImages& embed, std::int64_t width, const PackedSplit& split,
                               const EmbedOptions& options);
/// With the recipe's embedding of embedding_width().
std::vector<float> embed_split(Device& device, Recipe& recipe, const PackedSplit& split, const EmbedOptions& options);

}  // namespace swath
