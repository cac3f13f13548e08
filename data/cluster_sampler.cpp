#include "data/cluster_sampler.h"

#include <algorithm>
#include <utility>

#include "engine/core/error.h"

namespace swath {

namespace {

// Clusters, and the passes of one through its images within an epoch, have random numbers of their own.
constexpr std::uint64_t kClusterSeed = 0x9e3779b97f4a7c15ull;
constexpr int kPassShift = 20;  // epochs are fewer than 2^20

}  // namespace

struct ClusterSampler::Cluster {
  std::int64_t number;
  std::vector<std::int64_t> pool;         // rows that are drawn
  std::vector<std::uint64_t> class_mask;  // classes that count
  std::unique_ptr<Sampler> sampler;       // of the pool's places
};

ClusterSampler::ClusterSampler(const SamplerOptions& options, const LabelMasks& labels, std::uint64_t seed)
    : options_(options), labels_(labels), seed_(seed) {
  if (options.kind == "shuffled") throw UserError("clusters draw balanced batches; set sampler.kind=balanced, not shuffled");
  make_sampler(options, labels, seed);
  const std::vector<ClusterShare> all = assign(std::vector<std::int64_t>(static_cast<std::size_t>(labels.rows())), 1);
  if (all[0].batches == 0)
    throw DataError(
        "no class of the training split has images enough for a batch; add images, or lower sampler.images_per_class");
  now_ = std::move(next_);
}

ClusterSampler::~ClusterSampler() = default;

std::vector<ClusterShare> ClusterSampler::assign(const std::vector<std::int64_t>& cluster_of_row, std::int64_t clusters) {
  SWATH_CHECK(static_cast<std::int64_t>(cluster_of_row.size()) == labels_.rows(), "{} rows of {}", cluster_of_row.size(),
              labels_.rows());
  std::vector<std::vector<std::int64_t>> rows(static_cast<std::size_t>(clusters));
  for (std::size_t row = 0; row < cluster_of_row.size(); ++row) {
    const std::int64_t cluster = cluster_of_row[row];
    SWATH_CHECK(cluster >= 0 && cluster < clusters, "row {}: cluster {} of {}", row, cluster, clusters);
    rows[static_cast<std::size_t>(cluster)].push_back(static_cast<std::int64_t>(row));
  }
  std::vector<ClusterShare> shares(rows.size());
  std::vector<std::unique_ptr<Cluster>> made;
  for (std::size_t c = 0; c < rows.size(); ++c) {
    auto cluster = make_cluster(static_cast<std::int64_t>(c), rows[c], shares[c]);
    if (cluster) made.push_back(std::move(cluster));
  }
  if (!made.empty()) next_ = std::move(made);
  return shares;
}

std::unique_ptr<ClusterSampler::Cluster> ClusterSampler::make_cluster(std::int64_t number,
                                                                      const std::vector<std::int64_t>& rows,
                                                                      ClusterShare& share) const {
  share.images = static_cast<std::int64_t>(rows.size());
  std::vector<std::int64_t> carriers(static_cast<std::size_t>(labels_.classes()), 0), classes;
  for (const std::int64_t row : rows)
    for (std::int64_t c = 0; c < labels_.classes(); ++c) carriers[static_cast<std::size_t>(c)] += labels_.has(row, c) ? 1 : 0;
  auto cluster = std::make_unique<Cluster>();
  cluster->number = number;
  cluster->class_mask.resize(static_cast<std::size_t>(labels_.words()));
  for (std::int64_t c = 0; c < labels_.classes(); ++c) {
    if (carriers[static_cast<std::size_t>(c)] < 2) continue;
    classes.push_back(c);
    cluster->class_mask[static_cast<std::size_t>(c / 64)] |= std::uint64_t{1} << (c % 64);
  }
  const auto counts = [&](std::int64_t row) {
    return std::any_of(classes.begin(), classes.end(), [&](std::int64_t c) { return labels_.has(row, c); });
  };
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(cluster->pool), counts);
  share.drawn = static_cast<std::int64_t>(cluster->pool.size());
  share.classes = static_cast<std::int64_t>(classes.size());

  SamplerOptions options = options_;
  if (options.classes_per_batch == 0) options.classes_per_batch = share.classes;
  options.classes_per_batch = std::min(options.classes_per_batch, share.classes);
  if (options.rows == "fixed")
    options.classes_per_batch = std::min(options.classes_per_batch, share.drawn / options.images_per_class);
  share.classes_per_batch = options.classes_per_batch;
  if (share.classes_per_batch == 0) return nullptr;
  cluster->sampler = make_sampler(options, labels_.select(cluster->pool, classes),
                                  seed_ + kClusterSeed * static_cast<std::uint64_t>(number + 1));
  share.batches = cluster->sampler->batches_per_epoch();
  return cluster;
}

std::int64_t ClusterSampler::batches_per_epoch() const {
  std::int64_t longest = 0;
  for (const auto& cluster : now_) longest = std::max(longest, cluster->sampler->batches_per_epoch());
  return longest * static_cast<std::int64_t>(now_.size());
}

std::int64_t ClusterSampler::max_rows() const {
  std::int64_t most = 0;
  for (const auto& cluster : now_) most = std::max(most, cluster->sampler->max_rows());
  return most;
}

void ClusterSampler::prepare(std::int64_t /*epoch*/) {
  if (!next_.empty()) now_ = std::move(next_);
  next_.clear();
}

void ClusterSampler::sample(std::int64_t epoch, std::int64_t batch, SampledBatch& out) const {
  const auto count = static_cast<std::int64_t>(now_.size());
  const Cluster& cluster = *now_[static_cast<std::size_t>(batch % count)];
  const std::int64_t turn = batch / count, own = cluster.sampler->batches_per_epoch();
  cluster.sampler->set_state({epoch + ((turn / own) << kPassShift), turn % own});
  cluster.sampler->next(out);
  for (std::int64_t& row : out.rows) row = cluster.pool[static_cast<std::size_t>(row)];
  out.tag = cluster.number;
  out.class_mask = cluster.class_mask;
}

}  // namespace swath
