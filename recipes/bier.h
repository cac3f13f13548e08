// BIER: an ensemble of learners side by side, boosted against each other and kept apart (M. Opitz et al., 2018; methods.md §7).
#pragma once
#include <memory>
#include <vector>

#include "losses/adversarial.h"
#include "losses/binomial.h"
#include "losses/weight_norm.h"
#include "models/embedder.h"
#include "recipes/bier_options.h"
#include "recipes/recipe.h"

namespace swath {

class Bier : public Recipe {
 public:
  explicit Bier(const RecipeContext& context);

  Sampler& sampler() override { return *sampler_; }
  Objective objective(Tape& tape, const DeviceBatch& batch) override;
  std::vector<std::string> statistic_names() const override { return {"binomial", "adversarial", "weight_norm"}; }
  Tensor embed(Tape& tape, const Tensor& images) override;
  std::int64_t embedding_width() const override { return embedder_.width(); }

 private:
  std::int64_t classes_;
  std::int64_t rows_per_class_;
  BierOptions options_;
  std::vector<std::int64_t> widths_;
  std::unique_ptr<Sampler> sampler_;
  Embedder embedder_;
  BinomialLoss binomial_;
  AdversarialLoss adversarial_;
  WeightNormLoss regressor_norms_, head_norms_;
};

}  // namespace swath
