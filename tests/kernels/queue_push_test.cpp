// Cases of queue_push against a queue that is a list. methods.md §6 "Fast MoCo".
#include "kernels/queue_push.h"

#include <deque>
#include <optional>

#include "tests/kernels/kernel_case.h"

namespace swath::kernels::test {
namespace {

class QueuePushTest : public KernelTest {};

struct Push {
  std::int64_t rows;
  std::optional<std::int32_t> count = {};
};

/// Pushes one batch after the other and compares the ring, read from its oldest row, with a list of the last rows.
void check(Place place, std::int64_t capacity, std::int64_t cols, std::int64_t ld, const std::vector<Push>& pushes) {
  SCOPED_TRACE(::testing::Message() << capacity << " x " << cols << ", rows " << ld << " apart");
  CaseMemory memory(place);
  float* queue = memory.put(std::vector<float>(static_cast<std::size_t>(capacity * cols), -7.0f));
  std::uint64_t* pushed = memory.put_one<std::uint64_t>(0);
  std::deque<std::vector<float>> last;
  std::uint64_t total = 0;
  for (const Push& push : pushes) {
    const std::vector<float> keys = random_floats(push.rows * ld, 31 + total);
    QueuePushArgs args{.keys = memory.put(keys),
                       .row_count = push.count ? memory.put_one(*push.count) : nullptr,
                       .queue = queue,
                       .pushed = pushed,
                       .rows = push.rows,
                       .cols = cols,
                       .keys_ld = ld,
                       .capacity = capacity};
    memory.run([&](auto exec) { queue_push(args, exec); });
    const std::int64_t used = std::clamp<std::int64_t>(push.count.value_or(static_cast<std::int32_t>(push.rows)), 0, push.rows);
    for (std::int64_t r = 0; r < used; ++r) {
      last.emplace_back(keys.begin() + r * ld, keys.begin() + r * ld + cols);
      if (static_cast<std::int64_t>(last.size()) > capacity) last.pop_front();
    }
    total += static_cast<std::uint64_t>(used);
    EXPECT_EQ(memory.get_one(pushed), total);
    const std::vector<float> got = memory.get(queue, capacity * cols);
    const std::size_t held = last.size();
    for (std::size_t i = 0; i < held; ++i) {
      const std::size_t slot = (total - held + i) % static_cast<std::uint64_t>(capacity);
      const std::vector<float> row(got.begin() + static_cast<std::ptrdiff_t>(slot) * cols,
                                   got.begin() + static_cast<std::ptrdiff_t>(slot + 1) * cols);
      EXPECT_EQ(row, last[i]) << "place " << i << " of " << held;
    }
    for (std::size_t i = held * cols; i < got.size() && total < static_cast<std::uint64_t>(capacity); ++i)
      EXPECT_EQ(got[i], -7.0f);
  }
}

TEST_P(QueuePushTest, BatchesReplaceTheOldest) {
  check(GetParam(), 12, 8, 8, {{5}, {5}, {5}, {5}, {5}});
  check(GetParam(), 12, 8, 8, {{6}, {6}, {6}});
  check(GetParam(), 1, 1, 1, {{1}, {1}, {3}});
  check(GetParam(), 33, 31, 40, {{32}, {33}, {31}, {1}});
  check(GetParam(), 130, 129, 132, {{128}, {129}});
}

TEST_P(QueuePushTest, OfABatchLargerThanTheQueueTheLastRowsStay) {
  check(GetParam(), 4, 4, 4, {{3}, {11}, {4}, {9}});
  check(GetParam(), 3, 5, 6, {{100}});
}

TEST_P(QueuePushTest, RowsInUseAlone) {
  check(GetParam(), 12, 8, 8, {{10, 7}, {10, 0}, {10, 10}, {10, 1}, {10, 99}, {10, -3}, {0}});
}

TEST_P(QueuePushTest, TheCounterGoesBeyond32Bits) {
  CaseMemory memory(GetParam());
  const std::vector<float> keys = random_floats(2 * 3, 5);
  float* queue = memory.put(std::vector<float>(5 * 3, 0.0f));
  std::uint64_t* pushed = memory.put_one<std::uint64_t>(5'000'000'009);
  const QueuePushArgs args{
      .keys = memory.put(keys), .queue = queue, .pushed = pushed, .rows = 2, .cols = 3, .keys_ld = 3, .capacity = 5};
  memory.run([&](auto exec) { queue_push(args, exec); });
  EXPECT_EQ(memory.get_one(pushed), 5'000'000'011u);
  const std::vector<float> got = memory.get(queue, 15);
  EXPECT_EQ(std::vector<float>(got.begin() + 12, got.end()), std::vector<float>(keys.begin(), keys.begin() + 3));
  EXPECT_EQ(std::vector<float>(got.begin(), got.begin() + 3), std::vector<float>(keys.begin() + 3, keys.end()));
}

SWATH_KERNEL_PLACES(QueuePushTest);

}  // namespace
}  // namespace swath::kernels::test
