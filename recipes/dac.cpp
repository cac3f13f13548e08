#include "recipes/dac.h"

#include <algorithm>
#include <numeric>

#include "engine/autograd/rank_ops.h"
#include "engine/autograd/row_ops.h"
#include "engine/core/log.h"
#include "recipes/embed.h"
#include "retrieval/cluster_match.h"

namespace swath {

namespace {

constexpr const char* kKMeansPath = "dac.kmeans";

const RecipeContext& checked(const RecipeContext& context) {
  const ModelOptions& model = context.options.model;
  const std::int64_t clusters = context.options.dac.kmeans.clusters, images = context.train.rows();
  if (model.penultimate) throw UserError("dac trains heads; set model.penultimate=false");
  if (clusters > images)
    throw UserError(fmt::format("{}.clusters is {}, but the training split has {} images; choose fewer clusters", kKMeansPath,
                                clusters, images));
  if (model.embedding % clusters != 0)
    throw UserError(
        fmt::format("model.embedding is {}, which the sub-embeddings of {}.clusters={} cannot share evenly; choose "
                    "a multiple of {}",
                    model.embedding, kKMeansPath, clusters, clusters));
  return context;
}

std::string name_of_cluster(std::int64_t cluster) { return fmt::format("cluster{}", cluster); }

std::vector<HeadSpec> heads_of(const TrainOptions& options) {
  const std::int64_t clusters = options.dac.kmeans.clusters;
  std::vector<HeadSpec> heads;
  for (std::int64_t c = 0; c < clusters; ++c) heads.push_back({name_of_cluster(c), options.model.embedding / clusters});
  return heads;
}

std::string sizes_of(const std::vector<ClusterShare>& shares) {
  std::vector<std::int64_t> sizes;
  for (const ClusterShare& share : shares) sizes.push_back(share.images);
  return fmt::format("{}", fmt::join(sizes, ", "));
}

bool usable(const std::vector<ClusterShare>& shares) {
  return std::any_of(shares.begin(), shares.end(), [](const ClusterShare& share) { return share.batches > 0; });
}

/// Says which clusters give no batches, and which give smaller ones than `classes_per_batch` (0: all its classes) asks for.
void report_small(const std::vector<ClusterShare>& shares, std::int64_t classes_per_batch) {
  std::vector<std::size_t> resting, smaller;
  for (std::size_t c = 0; c < shares.size(); ++c) {
    const ClusterShare& share = shares[c];
    const std::int64_t wanted = classes_per_batch > 0 ? std::min(classes_per_batch, share.classes) : share.classes;
    if (share.batches == 0)
      resting.push_back(c);
    else if (share.classes_per_batch < wanted)
      smaller.push_back(c);
  }
  if (!resting.empty())
    log::warn("too few images with a class in common for a batch: clusters {} rest until the next clustering",
              fmt::join(resting, ", "));
  if (!smaller.empty())
    log::info("too few images for all classes: batches of clusters {} hold fewer classes", fmt::join(smaller, ", "));
}

}  // namespace

Dac::Dac(const RecipeContext& context)
    : device_(context.device),
      options_(checked(context).options),
      train_(context.train),
      ranks_(context.ranks),
      sampler_(options_.sampler, train_.labels(), options_.seed),
      embedder_(context.block, options_.model, train_.image().channels, heads_of(options_), options_.seed),
      rows_(options_, train_.labels().classes()) {
  const std::int64_t clusters = options_.dac.kmeans.clusters;
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(clusters));
  std::iota(numbers.begin(), numbers.end(), 0);
  for (std::int64_t c = 0; c < clusters; ++c)
    losses_.emplace_back(context.block, options_.margin, train_.labels().classes(), "margin." + name_of_cluster(c));
  numbers_ = Tensor::from_host(device_, {clusters}, numbers, Tag::other);
  nmi_shown_ = Tensor::zeros(device_, {1}, DType::f32, Tag::other);
  assignment_ = Tensor::zeros(device_, {train_.rows()}, DType::i64, Tag::other);
}

bool Dac::clustering_due(std::int64_t epoch) const { return clustered_ < 0 || epoch - clustered_ >= options_.dac.every; }

void Dac::begin_epoch(std::int64_t epoch) {
  stage_ = options_.dac.stage(epoch);
  if (stage_ == DacStage::conquered) {
    sampler_.assign(std::vector<std::int64_t>(static_cast<std::size_t>(train_.rows())), 1);
  } else if (clustering_due(epoch)) {
    divide(epoch);
  } else {
    sampler_.assign(assignment_.to_host<std::int64_t>(), options_.dac.kmeans.clusters);
  }
  const auto nmi = static_cast<float>(nmi_);
  nmi_shown_.copy_from_host(&nmi);
}

std::vector<std::int64_t> Dac::cluster_images() {
  const EmbedImages penultimate = [this](Tape& tape, const Tensor& images) {
    return embedder_.penultimate(tape, Var(images)).value();
  };
  EmbedOptions shared = embed_options(options_);
  shared.ranks = &ranks_;
  const std::vector<float> features = embed_split(device_, penultimate, embedder_.features(), train_, shared);
  std::vector<std::int64_t> assignment(static_cast<std::size_t>(train_.rows()));
  if (ranks_.leads()) {
    Clusters found = kmeans({features.data(), train_.rows(), embedder_.features()}, options_.dac.kmeans,
                            options_.seed + options_.dac.seed, kKMeansPath);
    log::info("clustered by {}", found.retriever);
    assignment = std::move(found.assignment);
  }
  ranks_.broadcast(assignment.data(), assignment.size() * sizeof(std::int64_t), 0);
  return assignment;
}

void Dac::divide(std::int64_t epoch) {
  const std::int64_t clusters = options_.dac.kmeans.clusters;
  const bool first = clustered_ < 0;
  log::info("clustering {} training images", train_.rows());
  const std::vector<std::int64_t> old = assignment_.to_host<std::int64_t>();
  std::vector<std::int64_t> fresh = cluster_images();
  if (!first) fresh = match_clusters(old, fresh, clusters);
  const std::vector<ClusterShare> shares = sampler_.assign(fresh, clusters);
  clustered_ = epoch;
  if (usable(shares)) {
    if (!first) nmi_ = normalized_mutual_information(old, fresh);
    assignment_.copy_from_host(fresh.data());
    log::info("epoch {}: clusters of {} images{}", epoch + 1, sizes_of(shares),
              first ? "" : fmt::format("; NMI with the clusters before {:.4f}", nmi_));
    report_small(shares, options_.sampler.classes_per_batch);
    return;
  }
  if (first)
    throw UserError(
        fmt::format("no cluster of the {} that {}.clusters asks for has images enough with a class in common; choose "
                    "fewer clusters",
                    clusters, kKMeansPath));
  log::warn("epoch {}: no new cluster has images enough with a class in common; the clusters before stay", epoch + 1);
  sampler_.assign(old, clusters);
}

Objective Dac::objective(Tape& tape, const DeviceBatch& batch) {
  const std::int64_t cluster = batch.tag;
  SWATH_CHECK(cluster >= 0 && cluster < numbers_.numel(), "cluster {} of {}", cluster, numbers_.numel());
  const auto at = static_cast<std::size_t>(cluster);
  const std::vector<Var> parts = embedder_.forward(tape, Var(batch.images), batch.random);
  const Var embedding = stage_ == DacStage::divided ? parts[at] : normalize_rows(tape, concat_columns(tape, parts));
  Objective objective = rows_.objective(tape, batch, gather_ranks(tape, embedding), losses_[at]);
  objective.statistics.emplace_back("cluster", numbers_.rows(cluster, cluster + 1));
  objective.statistics.emplace_back("nmi", nmi_shown_);
  return objective;
}

std::vector<std::string> Dac::statistic_names() const {
  std::vector<std::string> names = rows_.statistic_names();
  names.insert(names.end(), {"cluster", "nmi"});
  return names;
}

Tensor Dac::embed(Tape& tape, const Tensor& images) {
  return normalize_rows(tape, concat_columns(tape, embedder_.forward(tape, Var(images), {}))).value();
}

void Dac::visit_state(StateVisitor& visitor) {
  visitor.tensor("cluster.assignment", assignment_);
  visitor.scalar("cluster.epoch", clustered_);
  visitor.scalar("cluster.nmi", nmi_);
}

}  // namespace swath
