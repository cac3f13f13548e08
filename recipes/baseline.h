// Margin loss on the whole embedding (methods.md §7, "baseline").
#pragma once
#include <memory>

#include "losses/margin.h"
#include "losses/miner.h"
#include "models/embedder.h"
#include "recipes/recipe.h"

namespace swath {

class Baseline : public Recipe {
 public:
  /// Throws UserError for margin.class_specific with a miner of multi-hot rows, which have no one class.
  explicit Baseline(const RecipeContext& context);

  Sampler& sampler() override { return *sampler_; }
  Objective objective(Tape& tape, const DeviceBatch& batch) override;
  std::vector<std::string> statistic_names() const override;
  Tensor embed(Tape& tape, const Tensor& images) override;
  std::int64_t embedding_width() const override { return embedder_.width(); }

 private:
  /// Triplets of rows of one category, drawn from the batch, or of the images themselves.
  Objective on_pair_rows(Tape& tape, const DeviceBatch& batch, const Var& embedding);
  Objective on_images(Tape& tape, const DeviceBatch& batch, const Var& embedding);

  std::int64_t classes_;
  std::int64_t rows_per_class_;
  std::unique_ptr<Sampler> sampler_;
  Embedder embedder_;
  std::unique_ptr<Miner> miner_;
  MarginLoss loss_;
};

}  // namespace swath
