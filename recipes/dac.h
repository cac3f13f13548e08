// D&C: images are divided into clusters, which train a sub-embedding each and then the whole together (A. Sanakoyeu et al.,
// Divide and Conquer the Embedding Space for Metric Learning, 2019; methods.md §7).
#pragma once
#include <deque>
#include <vector>

#include "data/cluster_sampler.h"
#include "models/embedder.h"
#include "recipes/batch_loss.h"
#include "recipes/recipe.h"

namespace swath {

class Dac : public Recipe {
 public:
  /// Throws UserError when the sub-embeddings do not share model.embedding evenly, for more clusters than images, and for a
  /// network without heads.
  explicit Dac(const RecipeContext& context);

  Sampler& sampler() override { return sampler_; }
  /// Clusters the training split where that is due, which embeds it once with the present network. A checkpoint of a later
  /// batch of the epoch holds the clusters, so that a resumed run does not cluster again.
  void begin_epoch(std::int64_t epoch) override;
  Objective objective(Tape& tape, const DeviceBatch& batch) override;
  /// Beside the margin loss's: the batch's cluster, and the NMI of the last two clusterings, 0 until there are two.
  std::vector<std::string> statistic_names() const override;
  /// The stage, in which the same cluster trains other heads than in another, and the clustering, after which batches have
  /// other sizes.
  std::uint64_t phase() const override {
    return 4 * static_cast<std::uint64_t>(clustered_ + 1) + static_cast<std::uint64_t>(stage_);
  }
  /// The sub-embeddings side by side, normalised as a whole.
  Tensor embed(Tape& tape, const Tensor& images) override;
  std::int64_t embedding_width() const override { return embedder_.width(); }
  void visit_state(StateVisitor& visitor) override;

 private:
  bool clustering_due(std::int64_t epoch) const;
  /// The cluster of every training image by k-means over the penultimate features, which the ranks compute together.
  std::vector<std::int64_t> cluster_images();
  /// Clusters anew; the new clusters take the numbers of the old ones that they resemble most.
  void divide(std::int64_t epoch);

  Device& device_;
  const TrainOptions& options_;
  const PackedSplit& train_;
  Communicator& ranks_;
  ClusterSampler sampler_;
  Embedder embedder_;
  BatchLoss rows_;
  std::deque<MarginLoss> losses_;  // one β a cluster; the first serves when all images are one
  DacStage stage_ = DacStage::divided;
  Tensor numbers_;               // i32 {K}: 0 … K − 1
  Tensor nmi_shown_;             // f32 {1}
  Tensor assignment_;            // i64 {N}: cluster of every training image
  std::int64_t clustered_ = -1;  // epoch of the last clustering
  double nmi_ = 0;
};

}  // namespace swath
