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
  explicit Baseline(const RecipeContext& context);

  Sampler& sampler() override { return *sampler_; }
  Objective objective(Tape& tape, const DeviceBatch& batch) override;
  std::vector<std::string> statistic_names() const override { return {"active_triplets"}; }
  Tensor embed(Tape& tape, const Tensor& images) override;
  std::int64_t embedding_width() const override { return embedder_.width(); }

 private:
  std::int64_t classes_;
  std::int64_t rows_per_class_;
  std::unique_ptr<Sampler> sampler_;
  Embedder embedder_;
  std::unique_ptr<Miner> miner_;
  MarginLoss loss_;
};

}  // namespace swath
