// DiVA: four features of one network, each with a task of its own, kept apart (T. Milbich et al., 2020; methods.md §7).
#pragma once
#include <memory>
#include <vector>

#include "data/loader.h"
#include "losses/adversarial.h"
#include "losses/margin.h"
#include "losses/miner.h"
#include "losses/moco.h"
#include "models/embedder.h"
#include "models/momentum_copy.h"
#include "recipes/recipe.h"

namespace swath {

class Diva : public Recipe {
 public:
  explicit Diva(const RecipeContext& context);

  Sampler& sampler() override { return *sampler_; }
  /// The first time: the key network becomes a copy, and the queue is filled.
  void begin_epoch(std::int64_t epoch) override;
  Objective objective(Tape& tape, const DeviceBatch& batch) override;
  std::vector<std::string> statistic_names() const override {
    return {"discriminative", "selfsimilarity", "shared", "intra", "decorrelation"};
  }
  void after_step() override;
  Tensor embed(Tape& tape, const Tensor& images) override;
  std::int64_t embedding_width() const override { return embedder_.width(); }
  void visit_state(StateVisitor& visitor) override;

 private:
  /// A feature with a margin loss on triplets of its own.
  struct Mined {
    std::size_t part;
    float weight;
    std::unique_ptr<Miner> miner;
    MarginLoss loss;
  };

  Mined mined(const char* name, const char* miner, float weight) const;
  /// Keys of a batch's images in their order: its rotated view, shuffled over all ranks, through the key network. `views` are
  /// of all images.
  Tensor keys(Tape& tape, const BatchViews& views, std::int64_t images, RandomKey random) const;
  void fill_queue();
  void push_keys(const Batch& batch, RandomKey random);

  Device& device_;
  ParameterBlock& block_;
  const TrainOptions& options_;
  const PackedSplit& train_;
  Communicator& ranks_;
  std::int64_t classes_, rows_per_class_;
  std::unique_ptr<Sampler> sampler_;
  Embedder embedder_;
  std::vector<Mined> mined_;
  AdversarialLoss decorrelation_;
  MomentumCopy key_;
  MocoLoss moco_;
  std::int64_t started_ = 0;
};

}  // namespace swath
