// The storage pool: reuse, accounting, and what happens when memory ends.
#include "engine/core/storage.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>
#include <vector>

#include "engine/core/out_of_memory.h"

namespace swath {
namespace {

// Counts what it gives out and refuses beyond a limit.
class LimitedAllocator final : public Allocator {
 public:
  explicit LimitedAllocator(std::size_t limit) : limit_(limit) {}
  void* allocate(std::size_t bytes) override {
    if (used_ + bytes > limit_) throw DeviceError("limit");
    used_ += bytes;
    ++calls;
    void* const block = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    sizes_[block] = bytes;
    return block;
  }
  void deallocate(void* pointer, std::size_t bytes) noexcept override {
    EXPECT_EQ(sizes_.at(pointer), bytes);
    sizes_.erase(pointer);
    used_ -= bytes;
    std::free(pointer);
  }
  std::size_t free_bytes() const override { return limit_ - used_; }
  std::size_t used() const { return used_; }
  int calls = 0;

 private:
  std::size_t limit_, used_ = 0;
  std::map<void*, std::size_t> sizes_;
};

constexpr std::size_t kMiB = std::size_t{1} << 20;

TEST(StoragePool, SameRequestsGetTheSameAddresses) {
  StoragePool pool(std::make_shared<LimitedAllocator>(64 * kMiB));
  std::vector<void*> first, second;
  for (auto* addresses : {&first, &second}) {
    for (const std::size_t bytes : {kMiB, kMiB, 3 * kMiB, std::size_t{100}, std::size_t{1}})
      addresses->push_back(pool.take(bytes, Tag::activations));
    for (auto it = addresses->rbegin(); it != addresses->rend(); ++it) pool.give(*it);
  }
  EXPECT_EQ(first, second);
}

TEST(StoragePool, BlocksAreAlignedAndDisjoint) {
  StoragePool pool(std::make_shared<LimitedAllocator>(64 * kMiB));
  std::vector<std::pair<unsigned char*, std::size_t>> blocks;
  for (std::size_t bytes : {1u, 255u, 256u, 257u, 4096u, 5000u, 70000u}) {
    auto* const block = static_cast<unsigned char*>(pool.take(bytes, Tag::other));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 256, 0u);
    std::memset(block, static_cast<int>(blocks.size() + 1), bytes);
    blocks.emplace_back(block, bytes);
  }
  for (std::size_t b = 0; b < blocks.size(); ++b)
    for (std::size_t i = 0; i < blocks[b].second; ++i) ASSERT_EQ(blocks[b].first[i], b + 1);
  for (const auto& [block, bytes] : blocks) pool.give(block);
}

TEST(StoragePool, CountsByTagAndTogether) {
  StoragePool pool(std::make_shared<LimitedAllocator>(64 * kMiB));
  void* const weights = pool.take(2 * kMiB, Tag::weights);
  void* const grads = pool.take(kMiB, Tag::grads);
  EXPECT_EQ(pool.use(Tag::weights).current, 2 * kMiB);
  EXPECT_EQ(pool.use().current, 3 * kMiB);
  pool.give(grads);
  EXPECT_EQ(pool.use(Tag::grads).current, 0u);
  EXPECT_EQ(pool.use(Tag::grads).peak, kMiB);
  EXPECT_EQ(pool.use().current, 2 * kMiB);
  EXPECT_EQ(pool.use().peak, 3 * kMiB);
  EXPECT_EQ(pool.reserved(), 3 * kMiB);
  pool.reset_peaks();
  EXPECT_EQ(pool.use().peak, 2 * kMiB);
  EXPECT_NE(pool.report().find("weights"), std::string::npos);
  pool.give(weights);
}

TEST(StoragePool, TrimReturnsCachedBlocks) {
  const auto allocator = std::make_shared<LimitedAllocator>(64 * kMiB);
  StoragePool pool(allocator);
  void* const kept = pool.take(kMiB, Tag::other);
  pool.give(pool.take(2 * kMiB, Tag::other));
  EXPECT_EQ(allocator->used(), 3 * kMiB);
  pool.trim();
  EXPECT_EQ(allocator->used(), kMiB);
  EXPECT_EQ(pool.reserved(), kMiB);
  pool.give(kept);
}

TEST(StoragePool, FreesCachedBlocksBeforeGivingUp) {
  const auto allocator = std::make_shared<LimitedAllocator>(4 * kMiB);
  StoragePool pool(allocator);
  pool.give(pool.take(3 * kMiB, Tag::activations));
  void* const block = pool.take(4 * kMiB, Tag::activations);  // fits only without the cached 3 MiB
  EXPECT_NE(block, nullptr);
  pool.give(block);
}

TEST(StoragePool, OutOfMemoryNamesNeedFreeAndLargestUser) {
  StoragePool pool(std::make_shared<LimitedAllocator>(4 * kMiB));
  void* const block = pool.take(3 * kMiB, Tag::bank);
  try {
    pool.take(2 * kMiB, Tag::activations);
    FAIL() << "no error";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.available, 4 * kMiB);
    const std::string text = error.what();
    for (const char* part : {"2.0 MiB", "activations", "1.0 MiB free", "bank 3 MiB"})
      EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_EQ(text.find("batch"), std::string::npos) << text;  // the pool knows of none
  }
  pool.give(block);
  pool.give(pool.take(kMiB, Tag::other));  // still usable
}

TEST(StoragePool, StorageReturnsItsBlock) {
  const auto allocator = std::make_shared<LimitedAllocator>(64 * kMiB);
  const auto pool = std::make_shared<StoragePool>(allocator);
  { const Storage storage(pool, kMiB, Tag::input); }
  { const Storage storage(pool, kMiB, Tag::input); }
  EXPECT_EQ(allocator->calls, 1);
  EXPECT_EQ(pool->use().current, 0u);
}

TEST(StoragePool, ThreadsShareIt) {
  const auto allocator = std::make_shared<LimitedAllocator>(64 * kMiB);
  const auto pool = std::make_shared<StoragePool>(allocator);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < 200; ++i) {
        const Storage storage(pool, static_cast<std::size_t>(1000 + 100 * i), Tag::input);
        std::memset(storage.data(), t, storage.bytes());
        ASSERT_EQ(static_cast<unsigned char*>(storage.data())[storage.bytes() - 1], t);
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(pool->use().current, 0u);
}

TEST(PoolArena, KeepsItsBlocksApart) {
  const auto pool = std::make_shared<StoragePool>(std::make_shared<LimitedAllocator>(64 * kMiB));
  PoolArena arena(pool);
  void* inside = nullptr;
  {
    const ArenaScope scope(arena);
    inside = pool->take(kMiB, Tag::activations);
    EXPECT_EQ(scope.live(), 1u);
    pool->give(inside);
    EXPECT_EQ(scope.live(), 0u);
  }
  EXPECT_EQ(arena.bytes(), kMiB);
  pool->trim();
  EXPECT_EQ(pool->reserved(), kMiB) << "trim takes nothing from an arena";
  void* const outside = pool->take(kMiB, Tag::activations);
  EXPECT_NE(outside, inside);
  {
    const ArenaScope scope(arena);
    EXPECT_EQ(pool->take(kMiB, Tag::activations), inside);
  }
  {
    const ArenaScope scope(arena);
    pool->give(inside);
    EXPECT_EQ(scope.live(), 0u) << "the block was taken in another scope";
    EXPECT_EQ(pool->take(kMiB, Tag::activations), inside);
    EXPECT_EQ(scope.live(), 1u);
  }
  pool->give(inside);
  pool->give(outside);
}

TEST(PoolArena, TakesOverCachedBlocksAndReturnsThemAtItsEnd) {
  const auto pool = std::make_shared<StoragePool>(std::make_shared<LimitedAllocator>(64 * kMiB));
  void* const cached = pool->take(kMiB, Tag::activations);
  pool->give(cached);
  void* used = nullptr;
  {
    PoolArena arena(pool);
    const ArenaScope scope(arena);
    EXPECT_EQ(pool->take(kMiB, Tag::activations), cached);
    used = pool->take(2 * kMiB, Tag::activations);
    pool->give(cached);
  }
  EXPECT_EQ(pool->take(kMiB, Tag::activations), cached);
  pool->give(used);
  EXPECT_EQ(pool->take(2 * kMiB, Tag::activations), used);
  EXPECT_EQ(pool->reserved(), 3 * kMiB);
  pool->give(cached);
  pool->give(used);
}

TEST(PoolArena, ScopesDoNotNest) {
  const auto pool = std::make_shared<StoragePool>(std::make_shared<LimitedAllocator>(kMiB));
  PoolArena one(pool), two(pool);
  const ArenaScope scope(one);
  EXPECT_THROW(ArenaScope second(two), InternalError);
}

}  // namespace
}  // namespace swath
