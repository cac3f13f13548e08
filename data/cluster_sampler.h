// Balanced batches of clusters of the images, which take turns (methods.md §7, D&C).
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "data/sampler.h"

namespace swath {

/// What a cluster gives to training. Only images with a class that another image of the cluster carries are drawn.
struct ClusterShare {
  std::int64_t images = 0;   // of the cluster
  std::int64_t drawn = 0;    // images that are drawn
  std::int64_t classes = 0;  // classes that two or more of its images carry
  std::int64_t classes_per_batch = 0;
  std::int64_t batches = 0;  // before it starts over; 0: no batch can be made, the cluster rests
};

/// An epoch takes one batch of every cluster in turn until the largest has given all of its own; a smaller one starts over,
/// with new draws. SampledBatch::tag is the cluster, class_mask its classes. Every cluster has its own fixed number of rows:
/// where k rows for each class are more than the cluster has images, its batches hold fewer classes; with fewer than k images
/// it rests. (With SamplerOptions::rows = distinct a batch needs no minimum.)
class ClusterSampler final : public Sampler {
 public:
  /// All rows of `labels`, which must outlive the sampler, are one cluster until there are others. Throws UserError for batches
  /// that are not balanced, and what make_sampler throws for all rows.
  ClusterSampler(const SamplerOptions& options, const LabelMasks& labels, std::uint64_t seed);
  ~ClusterSampler() override;

  /// The cluster, 0 … clusters − 1, of every row, in force from the next epoch that is begun. When every cluster would rest,
  /// nothing changes. Returns one share a cluster.
  std::vector<ClusterShare> assign(const std::vector<std::int64_t>& cluster_of_row, std::int64_t clusters);

  std::int64_t batches_per_epoch() const override;
  std::int64_t max_rows() const override;

 protected:
  void prepare(std::int64_t epoch) override;
  void sample(std::int64_t epoch, std::int64_t batch, SampledBatch& out) const override;

 private:
  struct Cluster;
  /// Fills `share`; null when the cluster rests.
  std::unique_ptr<Cluster> make_cluster(std::int64_t number, const std::vector<std::int64_t>& rows, ClusterShare& share) const;

  SamplerOptions options_;
  const LabelMasks& labels_;
  std::uint64_t seed_;
  std::vector<std::unique_ptr<Cluster>> now_, next_;  // those that give batches; next_ is empty when nothing changes
};

}  // namespace swath
