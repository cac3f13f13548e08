// Samplers: counts, balance, determinism from (seed, epoch, batch) alone.
#include "data/sampler.h"

#include <algorithm>
#include <map>
#include <set>

#include "tests/data/fixtures.h"

namespace swath::test {

namespace {

std::vector<std::vector<std::int64_t>> epoch_of(Sampler& sampler, std::int64_t epoch) {
  sampler.begin_epoch(epoch);
  std::vector<std::vector<std::int64_t>> batches;
  for (SampledBatch batch; sampler.next(batch);) batches.push_back(batch.rows);
  return batches;
}

}  // namespace

TEST(BalancedSampler, GivesEveryClassItsImagesInFixedRows) {
  const LabelMasks labels = patterned_labels(203, 7);
  const auto sampler = make_sampler({.images_per_class = 3}, labels, 5);
  EXPECT_EQ(sampler->batches_per_epoch(), 203 / 21);
  EXPECT_EQ(sampler->max_rows(), 21);
  const auto batches = epoch_of(*sampler, 0);
  ASSERT_EQ(batches.size(), 9u);
  for (const auto& rows : batches) {
    EXPECT_EQ(rows.size(), 21u);
    EXPECT_EQ(std::set<std::int64_t>(rows.begin(), rows.end()).size(), 21u);
    for (std::int64_t c = 0; c < 7; ++c)
      EXPECT_GE(std::count_if(rows.begin(), rows.end(), [&](auto r) { return labels.has(r, c); }), 3) << "class " << c;
  }
}

TEST(BalancedSampler, IsFixedBySeedEpochAndBatch) {
  const LabelMasks labels = patterned_labels(203, 7);
  const auto a = make_sampler({}, labels, 5), b = make_sampler({}, labels, 5), other = make_sampler({}, labels, 6);
  const auto whole = epoch_of(*a, 3);
  EXPECT_EQ(epoch_of(*b, 3), whole);
  EXPECT_NE(epoch_of(*other, 3), whole);
  EXPECT_NE(epoch_of(*a, 4), whole);
  b->set_state({3, 5});
  SampledBatch batch;
  ASSERT_TRUE(b->next(batch));
  EXPECT_EQ(batch.rows, whole[5]);
  EXPECT_EQ(b->state(), (SamplerState{3, 6}));
}

TEST(BalancedSampler, DistinctRowsAndFewClassesPerBatch) {
  const LabelMasks labels = patterned_labels(100, 10);
  const auto sampler = make_sampler({.images_per_class = 2, .classes_per_batch = 4, .rows = "distinct"}, labels, 1);
  EXPECT_EQ(sampler->batches_per_epoch(), 100 / 8);
  std::set<std::int64_t> seen;
  for (const auto& rows : epoch_of(*sampler, 0)) {
    EXPECT_LE(rows.size(), 8u);
    EXPECT_EQ(std::set<std::int64_t>(rows.begin(), rows.end()).size(), rows.size());
    for (const std::int64_t r : rows)
      for (std::int64_t c = 0; c < 10; ++c)
        if (labels.has(r, c)) seen.insert(c);
  }
  EXPECT_EQ(seen.size(), 10u);
}

TEST(BalancedSampler, DrawsWithReplacementOnlyWhenItMust) {
  LabelMasks labels(6, 2);
  for (std::int64_t i = 0; i < 6; ++i) labels.set(i, 0);
  labels.set(2, 1);  // one image of class 1, three are asked for
  const auto fixed = make_sampler({.images_per_class = 3}, labels, 1);
  const auto distinct = make_sampler({.images_per_class = 3, .rows = "distinct"}, labels, 1);
  EXPECT_EQ(fixed->batches_per_epoch(), 1);
  for (std::int64_t epoch = 0; epoch < 50; ++epoch) {
    const auto rows = epoch_of(*fixed, epoch)[0];
    EXPECT_EQ(std::set<std::int64_t>(rows.begin(), rows.end()).size(), 6u);
    const auto few = epoch_of(*distinct, epoch)[0];
    EXPECT_TRUE(few.size() == 3 || few.size() == 4);
    EXPECT_TRUE(std::count(few.begin(), few.end(), 2));
  }
}

TEST(BalancedSampler, DrawsUniformly) {
  const LabelMasks labels = patterned_labels(40, 2);
  const auto sampler = make_sampler({.images_per_class = 2, .rows = "distinct"}, labels, 3);
  std::map<std::int64_t, int> drawn;
  const int epochs = 600;
  std::int64_t batches = 0;
  for (std::int64_t e = 0; e < epochs; ++e)
    for (const auto& rows : epoch_of(*sampler, e)) {
      ++batches;
      for (const std::int64_t r : rows)
        if (!labels.has(r, 0)) ++drawn[r];  // images of class 1 alone
    }
  const auto of_one = labels.images_per_class()[1];
  const double expected = 2.0 * static_cast<double>(batches) / static_cast<double>(of_one);
  for (const auto& [row, count] : drawn) EXPECT_NEAR(count, expected, 5 * std::sqrt(expected)) << row;
}

TEST(BalancedSampler, KeepsToItsPool) {
  const LabelMasks labels = patterned_labels(100, 5);
  std::vector<std::int64_t> pool;
  for (std::int64_t i = 0; i < 100; i += 3)
    if (!labels.has(i, 4)) pool.push_back(i);  // class 4 is absent from the pool
  const auto sampler = make_sampler({}, labels, 1, pool);
  EXPECT_EQ(sampler->max_rows(), 8);
  for (const auto& rows : epoch_of(*sampler, 0))
    for (const std::int64_t r : rows) EXPECT_TRUE(std::binary_search(pool.begin(), pool.end(), r));
}

TEST(BalancedSampler, NamesWhatCannotBe) {
  expect_user_error([] { make_sampler({.images_per_class = 4}, patterned_labels(11, 3), 1); },
                    {"12 rows", "larger than the split of 11 images", "rows=distinct"});
  expect_data_error([] { make_sampler({}, LabelMasks(0, 3), 1); }, {"empty"});
  expect_data_error([] { make_sampler({}, LabelMasks(5, 3), 1); }, {"no image", "carries a class"});
}

TEST(ShuffledSampler, VisitsEveryRowOnce) {
  const LabelMasks labels = patterned_labels(103, 5);
  const auto sampler = make_sampler({.kind = "shuffled", .batch_size = 20}, labels, 9);
  EXPECT_EQ(sampler->batches_per_epoch(), 6);
  const auto first = epoch_of(*sampler, 0), second = epoch_of(*sampler, 1);
  std::vector<std::int64_t> all;
  for (const auto& rows : first) all.insert(all.end(), rows.begin(), rows.end());
  EXPECT_EQ(first.back().size(), 3u);
  std::sort(all.begin(), all.end());
  for (std::int64_t i = 0; i < 103; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
  EXPECT_NE(first, second);
  EXPECT_EQ(epoch_of(*sampler, 0), first);
  sampler->set_state({1, 4});
  SampledBatch batch;
  ASSERT_TRUE(sampler->next(batch));
  EXPECT_EQ(batch.rows, second[4]);
}

TEST(ShuffledSampler, DropsTheLastAndRefusesMoreThanThereIs) {
  const LabelMasks labels = patterned_labels(10, 5);
  EXPECT_EQ(make_sampler({.kind = "shuffled", .batch_size = 4, .last = "drop"}, labels, 9)->batches_per_epoch(), 2);
  EXPECT_EQ(make_sampler({.kind = "shuffled", .batch_size = 10}, labels, 9)->batches_per_epoch(), 1);
  for (const char* last : {"keep", "drop"})
    expect_user_error([&] { make_sampler({.kind = "shuffled", .batch_size = 11, .last = last}, labels, 9); },
                      {"batch_size 11", "larger than the split of 10", "at most 10"});
  expect_user_error([&] { make_sampler({.kind = "other"}, labels, 9); }, {"sampler.kind"});
}

TEST(SequentialSampler, CountsThrough) {
  const auto sampler = make_sequential_sampler(7, 3);
  const auto batches = epoch_of(*sampler, 0);
  EXPECT_EQ(batches, (std::vector<std::vector<std::int64_t>>{{0, 1, 2}, {3, 4, 5}, {6}}));
  EXPECT_EQ(make_sequential_sampler(0, 3)->batches_per_epoch(), 0);
}

}  // namespace swath::test
