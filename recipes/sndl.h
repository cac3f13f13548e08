// SNDL: neighbours in a memory bank of the whole training split, and a classifier beside it (J. Kang et al., GRN-SNDL, 2020;
// methods.md §7).
#pragma once
#include <memory>

#include "losses/bce.h"
#include "losses/nca.h"
#include "models/embedder.h"
#include "recipes/recipe.h"
#include "recipes/sndl_options.h"

namespace swath {

class Sndl : public Recipe {
 public:
  /// Batches are shuffled unless sampler.kind says otherwise.
  explicit Sndl(const RecipeContext& context);

  Sampler& sampler() override { return *sampler_; }
  /// Sets the momentum of the bank.
  void begin_epoch(std::int64_t epoch) override { nca_.begin_epoch(epoch); }
  bool needs_index() const override { return true; }
  Objective objective(Tape& tape, const DeviceBatch& batch) override;
  std::vector<std::string> statistic_names() const override { return {"nca", "bce"}; }
  void after_step() override { nca_.after_step(); }
  Tensor embed(Tape& tape, const Tensor& images) override;
  std::int64_t embedding_width() const override { return embedder_.width(); }
  void visit_state(StateVisitor& visitor) override { nca_.visit_state(visitor); }
  bool holds_all_state() const override { return nca_.holds_all_state(); }
  void gather_state() override { nca_.gather_state(); }
  void drop_gathered() override { nca_.drop_gathered(); }
  void spread_state() override { nca_.spread_state(); }

 private:
  SndlOptions options_;
  std::unique_ptr<Sampler> sampler_;
  Embedder embedder_;
  NcaLoss nca_;
  BceLoss bce_;
};

}  // namespace swath
