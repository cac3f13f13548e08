// The sampler of clusters: turns, restarts, classes that count, clusters that are too small, and resumption (methods.md §7,
// D&C).
#include "data/cluster_sampler.h"

#include <algorithm>
#include <set>

#include "data/loader.h"
#include "tests/data/fixtures.h"

namespace swath::test {

namespace {

using Numbers = std::vector<std::int64_t>;

std::vector<SampledBatch> epoch_of(Sampler& sampler, std::int64_t epoch) {
  sampler.begin_epoch(epoch);
  std::vector<SampledBatch> batches;
  for (SampledBatch batch; sampler.next(batch);) batches.push_back(batch);
  return batches;
}

/// The first 60 of 100 images are cluster 0, then 30 of cluster 1, then 10 of cluster 2.
Numbers uneven_clusters() {
  Numbers clusters(100, 0);
  for (std::size_t i = 60; i < 100; ++i) clusters[i] = i < 90 ? 1 : 2;
  return clusters;
}

bool counts(const SampledBatch& batch, std::int64_t c) { return (batch.class_mask[0] >> c) & 1u; }

}  // namespace

TEST(ClusterSampler, ClustersTakeTurnsAndTheShorterStartOver) {
  const LabelMasks labels = patterned_labels(100, 5);
  ClusterSampler sampler({}, labels, 3);
  const Numbers clusters = uneven_clusters();
  const std::vector<ClusterShare> shares = sampler.assign(clusters, 3);
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_EQ(shares[0].batches, 6);
  EXPECT_EQ(shares[1].batches, 3);
  EXPECT_EQ(shares[2].batches, 1);
  const std::vector<SampledBatch> batches = epoch_of(sampler, 0);
  EXPECT_EQ(sampler.batches_per_epoch(), 18);
  EXPECT_EQ(sampler.max_rows(), 10);
  ASSERT_EQ(batches.size(), 18u);
  std::set<Numbers> of_one;
  for (std::size_t b = 0; b < batches.size(); ++b) {
    EXPECT_EQ(batches[b].tag, static_cast<std::int64_t>(b % 3));
    EXPECT_EQ(std::set<std::int64_t>(batches[b].rows.begin(), batches[b].rows.end()).size(), 10u);
    for (const std::int64_t row : batches[b].rows) EXPECT_EQ(clusters[static_cast<std::size_t>(row)], batches[b].tag);
    for (std::int64_t c = 0; c < 5; ++c)
      EXPECT_GE(std::count_if(batches[b].rows.begin(), batches[b].rows.end(), [&](auto r) { return labels.has(r, c); }), 2)
          << c;
    if (b % 3 == 1) of_one.insert(batches[b].rows);
  }
  EXPECT_EQ(of_one.size(), 6u) << "a cluster that starts over repeats its batches";
}

TEST(ClusterSampler, AClassThatOccursOnceInItsClusterDoesNotCountThere) {
  LabelMasks labels(12, 4);
  for (std::int64_t i = 0; i < 10; ++i) labels.set(i, 0);
  labels.set(2, 1);  // once in cluster 0 and once in cluster 1
  labels.set(8, 1);
  labels.set(5, 2);  // class 2 alone on image 10 of cluster 0, and on image 5 of cluster 0: twice
  labels.set(10, 2);
  labels.set(11, 3);  // the only class of image 11, and the only image of class 3
  Numbers clusters{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1};
  ClusterSampler sampler({}, labels, 1);
  const std::vector<ClusterShare> shares = sampler.assign(clusters, 2);
  EXPECT_EQ(shares[0].images, 7);
  EXPECT_EQ(shares[0].drawn, 7);
  EXPECT_EQ(shares[0].classes, 2);
  EXPECT_EQ(shares[1].images, 5);
  EXPECT_EQ(shares[1].drawn, 4);
  EXPECT_EQ(shares[1].classes, 1);
  for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
    for (const SampledBatch& batch : epoch_of(sampler, epoch)) {
      EXPECT_TRUE(counts(batch, 0));
      EXPECT_FALSE(counts(batch, 1));
      EXPECT_EQ(counts(batch, 2), batch.tag == 0);
      EXPECT_FALSE(counts(batch, 3));
      EXPECT_EQ(std::count(batch.rows.begin(), batch.rows.end(), 11), 0);
    }
  }
}

TEST(ClusterSampler, ASmallClusterHasFewerClassesOrRests) {
  const LabelMasks labels = patterned_labels(100, 5);
  Numbers clusters(100, 0);
  for (const std::size_t row : {50, 51, 55, 56, 60, 61}) clusters[row] = 1;  // classes 0 and 1, three images each
  clusters[72] = clusters[73] = 2;                                           // classes 2 and 3, one each
  const auto size_of = [&](std::int64_t images_per_class, std::int64_t cluster) {
    ClusterSampler sampler({.images_per_class = images_per_class}, labels, 7);
    const ClusterShare share = sampler.assign(clusters, 4)[static_cast<std::size_t>(cluster)];
    for (const SampledBatch& batch : epoch_of(sampler, 0)) {
      EXPECT_NE(batch.tag, 2);
      EXPECT_NE(batch.tag, 3);
      if (batch.tag == cluster) {
        EXPECT_EQ(static_cast<std::int64_t>(batch.rows.size()), images_per_class * share.classes_per_batch);
      }
    }
    return share.classes_per_batch;
  };
  EXPECT_EQ(size_of(2, 0), 5);
  EXPECT_EQ(size_of(2, 1), 2);
  EXPECT_EQ(size_of(4, 1), 1);
  EXPECT_EQ(size_of(7, 1), 0);
  EXPECT_EQ(size_of(2, 2), 0);
  EXPECT_EQ(size_of(2, 3), 0) << "an empty cluster";
  ClusterSampler distinct({.images_per_class = 7, .rows = "distinct"}, labels, 7);
  EXPECT_EQ(distinct.assign(clusters, 4)[1].classes_per_batch, 2);
}

TEST(ClusterSampler, ClustersThatAllRestChangeNothing) {
  const LabelMasks labels = patterned_labels(100, 5);
  ClusterSampler sampler({}, labels, 7), untouched({}, labels, 7);
  Numbers own(100);
  for (std::size_t i = 0; i < 100; ++i) own[i] = static_cast<std::int64_t>(i);
  for (const ClusterShare& share : sampler.assign(own, 100)) EXPECT_EQ(share.batches, 0);
  const auto batches = epoch_of(sampler, 0), expected = epoch_of(untouched, 0);
  ASSERT_EQ(batches.size(), 10u);
  for (std::size_t b = 0; b < batches.size(); ++b) EXPECT_EQ(batches[b].rows, expected[b].rows);
}

TEST(ClusterSampler, NewClustersHoldFromTheNextEpochAndResumeExactly) {
  const LabelMasks labels = patterned_labels(100, 5);
  ClusterSampler sampler({}, labels, 3);
  EXPECT_EQ(sampler.batches_per_epoch(), 10) << "one cluster at first";
  EXPECT_EQ(epoch_of(sampler, 0).size(), 10u);
  sampler.assign(uneven_clusters(), 3);
  EXPECT_EQ(sampler.batches_per_epoch(), 10);
  const std::vector<SampledBatch> whole = epoch_of(sampler, 1);
  ASSERT_EQ(whole.size(), 18u);
  EXPECT_NE(epoch_of(sampler, 2)[4].rows, whole[4].rows);

  ClusterSampler resumed({}, labels, 3);
  resumed.assign(uneven_clusters(), 3);
  resumed.set_state({1, 10});
  SampledBatch batch;
  for (std::size_t b = 10; b < 18; ++b) {
    ASSERT_TRUE(resumed.next(batch));
    EXPECT_EQ(batch.rows, whole[b].rows) << b;
    EXPECT_EQ(batch.tag, whole[b].tag);
  }
  EXPECT_FALSE(resumed.next(batch));
}

TEST(ClusterSampler, TheLoaderDropsClassesThatDoNotCount) {
  const TempFolder folder;
  pack_part(fake_prepared(240, 6), Part::train, folder.path());
  const PackedSplit split = PackedSplit::open(folder / "train");
  ClusterSampler sampler({}, split.labels(), 2);
  Numbers clusters(static_cast<std::size_t>(split.rows()), 0);
  for (std::size_t i = 0; i < 8; ++i) clusters[i] = 1;
  const std::vector<ClusterShare> shares = sampler.assign(clusters, 2);
  ASSERT_GT(shares[1].batches, 0);
  ASSERT_LT(shares[1].classes, 6) << "every class counts in the small cluster";
  sampler.begin_epoch(0);
  Loader loader(split);
  loader.start(sampler);
  std::int64_t dropped = 0;
  while (const Batch* batch = loader.next()) {
    for (std::int64_t j = 0; j < batch->n; ++j) {
      for (std::int64_t c = 0; c < 6; ++c) {
        std::int64_t carriers = 0;
        for (std::int64_t row = 0; row < split.rows(); ++row)
          carriers += clusters[static_cast<std::size_t>(row)] == batch->tag && split.labels().has(row, c) ? 1 : 0;
        const bool carried = split.labels().has(batch->rows[j], c), kept = (batch->labels[j] >> c) & 1u;
        EXPECT_EQ(kept, carried && carriers > 1);
        dropped += carried && !kept ? 1 : 0;
      }
    }
  }
  EXPECT_GT(dropped, 0) << "nothing to drop";
}

TEST(ClusterSampler, RefusesByName) {
  const LabelMasks labels = patterned_labels(20, 5);
  expect_user_error([&] { ClusterSampler({.kind = "shuffled"}, labels, 1); }, {"sampler.kind=balanced", "shuffled"});
  expect_user_error([&] { ClusterSampler({.images_per_class = 5}, labels, 1); }, {"25 rows", "20 images"});
  LabelMasks alone(4, 4);
  for (std::int64_t i = 0; i < 4; ++i) alone.set(i, i);
  expect_data_error([&] { ClusterSampler({.images_per_class = 1}, alone, 1); }, {"no class", "training split"});
}

}  // namespace swath::test
