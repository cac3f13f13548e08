// The loader's ring: content, order, resumption, abandonment, errors of the background thread. Run under the thread sanitizer.
#include "data/loader.h"

#include <cstring>
#include <thread>

#include "tests/data/fixtures.h"

namespace swath::test {

namespace {

struct Packed {
  TempFolder folder;
  PackedSplit split;
  Packed()
      : split([this] {
          pack_part(fake_prepared(240, 6), Part::train, folder.path());
          return PackedSplit::open(folder / "train");
        }()) {}
};

void expect_rows(const Packed& packed, const Batch& batch) {
  for (std::int64_t j = 0; j < batch.n; ++j) {
    EXPECT_EQ(std::memcmp(static_cast<const std::uint8_t*>(batch.pixels) + j * 48, packed.split.row(batch.rows[j]), 48), 0);
    EXPECT_EQ(batch.labels[j], packed.split.labels().row(batch.rows[j])[0]);
  }
}

/// Fails at its third batch.
class FailingSampler final : public Sampler {
 public:
  std::int64_t batches_per_epoch() const override { return 10; }
  std::int64_t max_rows() const override { return 2; }

 protected:
  void prepare(std::int64_t) override {}
  void sample(std::int64_t, std::int64_t batch, SampledBatch& out) const override {
    if (batch == 2) throw DataError("the third batch is broken");
    out.rows = {0, 1};
    out.tag = 40 + batch;
  }
};

}  // namespace

TEST(Loader, DeliversWhatTheSamplerDraws) {
  const Packed packed;
  const auto expected = make_sampler({}, packed.split.labels(), 3), sampler = make_sampler({}, packed.split.labels(), 3);
  for (const int slots : {2, 3, 8}) {
    Loader loader(packed.split, {.slots = slots, .allocator = {}});
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      sampler->begin_epoch(epoch);
      expected->begin_epoch(epoch);
      loader.start(*sampler);
      std::int64_t count = 0;
      SampledBatch want;
      while (const Batch* batch = loader.next()) {
        ASSERT_TRUE(expected->next(want));
        EXPECT_EQ(want.rows, std::vector<std::int64_t>(batch->rows, batch->rows + batch->n));
        EXPECT_EQ(batch->position, (SamplerState{epoch, count}));
        EXPECT_EQ(batch->next, (SamplerState{epoch, count + 1}));
        expect_rows(packed, *batch);
        ++count;
      }
      EXPECT_EQ(count, sampler->batches_per_epoch());
      EXPECT_EQ(loader.next(), nullptr);
    }
    EXPECT_EQ(loader.bytes_copied(), 30u * 12 * 48);
  }
}

TEST(Loader, ResumesInTheMiddleOfAnEpoch) {
  const Packed packed;
  const auto sampler = make_sampler({.kind = "shuffled", .batch_size = 16}, packed.split.labels(), 3);
  Loader loader(packed.split);
  sampler->begin_epoch(2);
  loader.start(*sampler);
  std::vector<std::vector<std::int64_t>> whole;
  while (const Batch* b = loader.next()) whole.emplace_back(b->rows, b->rows + b->n);
  ASSERT_EQ(whole.size(), 8u);
  sampler->begin_epoch(2);
  loader.start(*sampler);
  loader.next();
  const SamplerState after = loader.next()->next;
  loader.finish();
  EXPECT_EQ(sampler->state(), after);  // not what was prefetched
  const auto fresh = make_sampler({.kind = "shuffled", .batch_size = 16}, packed.split.labels(), 3);
  fresh->set_state(after);
  Loader other(packed.split);
  other.start(*fresh);
  for (std::size_t b = 2; b < 8; ++b) {
    const Batch* batch = other.next();
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(whole[b], std::vector<std::int64_t>(batch->rows, batch->rows + batch->n));
  }
}

TEST(Loader, RethrowsAndGoesOn) {
  const Packed packed;
  FailingSampler sampler;
  Loader loader(packed.split);
  loader.start(sampler);
  EXPECT_EQ(loader.next()->tag, 40);
  EXPECT_EQ(loader.next()->tag, 41);
  expect_data_error([&] { loader.next(); }, {"third batch"});
  sampler.set_state({0, 3});
  loader.start(sampler);
  EXPECT_EQ(loader.next()->tag, 43);
}

TEST(Loader, StopsAtOnceWhenAbandoned) {
  const Packed packed;
  const auto sampler = make_sampler({}, packed.split.labels(), 3);
  for (int round = 0; round < 30; ++round) {
    Loader loader(packed.split, {.slots = 2, .allocator = {}});
    if (round % 3 == 0) continue;
    sampler->begin_epoch(round);
    loader.start(*sampler);
    if (round % 3 == 1) loader.next();
    if (round % 2) loader.start(*sampler);
  }
}

TEST(Loader, CountsWaiting) {
  const Packed packed;
  const auto sampler = make_sampler({}, packed.split.labels(), 3);
  Loader loader(packed.split);
  EXPECT_EQ(loader.seconds_waiting(), 0);
  loader.start(*sampler);
  while (loader.next()) std::this_thread::sleep_for(std::chrono::milliseconds(3));
  EXPECT_LT(loader.seconds_waiting(), 0.5);
}

TEST(Loader, RefusesOneSlot) {
  const Packed packed;
  expect_user_error([&] { Loader(packed.split, {.slots = 1, .allocator = {}}); }, {"at least 2 slots"});
}

}  // namespace swath::test
