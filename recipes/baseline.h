// One loss on the whole embedding: margin loss, unless loss.name says otherwise (methods.md §7, "baseline").
#pragma once
#include <memory>

#include "models/embedder.h"
#include "recipes/batch_loss.h"
#include "recipes/recipe.h"

namespace swath {

class Baseline : public Recipe {
 public:
  explicit Baseline(const RecipeContext& context);

  Sampler& sampler() override { return *sampler_; }
  void begin_epoch(std::int64_t epoch) override { loss_->begin_epoch(epoch); }
  bool needs_index() const override { return rows_.needs_index(); }
  Objective objective(Tape& tape, const DeviceBatch& batch) override;
  std::vector<std::string> statistic_names() const override { return rows_.statistic_names(); }
  void after_step() override { loss_->after_step(); }
  Tensor embed(Tape& tape, const Tensor& images) override;
  std::int64_t embedding_width() const override { return embedder_.width(); }
  void visit_state(StateVisitor& visitor) override { loss_->visit_state(visitor); }
  bool holds_all_state() const override { return loss_->holds_all_state(); }
  void gather_state() override { loss_->gather_state(); }
  void drop_gathered() override { loss_->drop_gathered(); }
  void spread_state() override { loss_->spread_state(); }

 private:
  std::unique_ptr<Sampler> sampler_;
  Embedder embedder_;
  BatchLoss rows_;
  std::unique_ptr<Loss> loss_;
};

}  // namespace swath
