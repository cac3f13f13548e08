// Margin loss on the whole embedding (methods.md §7, "baseline").
#pragma once
#include <memory>

#include "models/embedder.h"
#include "recipes/mined_margin.h"
#include "recipes/recipe.h"

namespace swath {

class Baseline : public Recipe {
 public:
  explicit Baseline(const RecipeContext& context);

  Sampler& sampler() override { return *sampler_; }
  Objective objective(Tape& tape, const DeviceBatch& batch) override;
  std::vector<std::string> statistic_names() const override { return margin_.statistic_names(); }
  Tensor embed(Tape& tape, const Tensor& images) override;
  std::int64_t embedding_width() const override { return embedder_.width(); }

 private:
  std::unique_ptr<Sampler> sampler_;
  Embedder embedder_;
  MinedMargin margin_;
  MarginLoss loss_;
};

}  // namespace swath
