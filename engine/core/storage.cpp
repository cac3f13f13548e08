#include "engine/core/storage.h"

#include <algorithm>

#include "engine/core/out_of_memory.h"

namespace swath {

namespace {

// Fine steps keep waste below 1/8 while similar sizes still share blocks.
std::size_t rounded(std::size_t bytes) {
  std::size_t step = 256;
  while (step * 16 < bytes) step *= 2;
  return (std::max<std::size_t>(bytes, 1) + step - 1) / step * step;
}

double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0); }

}  // namespace

const char* name_of(Tag tag) {
  static constexpr const char* kNames[kTagCount] = {"weights",   "grads", "moments", "activations",
                                                    "workspace", "bank",  "input",   "other"};
  return kNames[static_cast<int>(tag)];
}

StoragePool::StoragePool(std::shared_ptr<Allocator> allocator) : allocator_(std::move(allocator)) {}

StoragePool::~StoragePool() { trim(); }

StoragePool::Block StoragePool::take_cached(FreeBlocks& blocks, std::size_t size, Tag tag) {
  auto found = blocks.lower_bound(size);
  while (found != blocks.end() && found->second.empty()) found = blocks.erase(found);
  if (found == blocks.end() || (tag != Tag::workspace && found->first > size + size / 8)) return {};
  const Block block{found->second.back(), found->first};
  found->second.pop_back();
  return block;
}

StoragePool::Block StoragePool::allocate(std::size_t size, Tag tag) {
  void* pointer = nullptr;
  try {
    pointer = allocator_->allocate(size);
  } catch (const DeviceError&) {
    release_cached();
    try {
      pointer = allocator_->allocate(size);
    } catch (const DeviceError&) {
      throw OutOfMemory(out_of_memory(size, tag), reserved_ + allocator_->free_bytes());
    }
  }
  reserved_ += size;
  return {pointer, size};
}

void* StoragePool::take(std::size_t bytes, Tag tag) {
  const std::size_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  Block block = arena_ ? take_cached(arena_->free_, size, tag) : Block{};
  if (!block.pointer) {
    block = take_cached(free_, size, tag);
    if (!block.pointer) block = allocate(size, tag);
    if (arena_) arena_->bytes_ += block.bytes;
  }
  if (arena_) ++arena_->taken_;
  live_.emplace(block.pointer, Live{block.bytes, tag, arena_, arena_ ? arena_->scope_ : 0});
  for (MemoryUse* use : {&by_tag_[static_cast<std::size_t>(tag)], &total_}) {
    use->current += block.bytes;
    use->peak = std::max(use->peak, use->current);
  }
  return block.pointer;
}

void StoragePool::give(void* pointer) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(pointer);
  if (found == live_.end()) return;
  const Live block = found->second;
  live_.erase(found);
  by_tag_[static_cast<std::size_t>(block.tag)].current -= block.bytes;
  total_.current -= block.bytes;
  if (block.arena && block.scope == block.arena->scope_) --block.arena->taken_;
  (block.arena ? block.arena->free_ : free_)[block.bytes].push_back(pointer);
}

void StoragePool::release_cached() noexcept {
  for (auto& [bytes, blocks] : free_) {
    for (void* block : blocks) allocator_->deallocate(block, bytes), reserved_ -= bytes;
  }
  free_.clear();
}

void StoragePool::trim() noexcept {
  const std::lock_guard lock(mutex_);
  release_cached();
}

MemoryUse StoragePool::use(Tag tag) const {
  const std::lock_guard lock(mutex_);
  return by_tag_[static_cast<std::size_t>(tag)];
}

MemoryUse StoragePool::use() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

std::size_t StoragePool::reserved() const {
  const std::lock_guard lock(mutex_);
  return reserved_;
}

void StoragePool::reset_peaks() {
  const std::lock_guard lock(mutex_);
  for (auto& use : by_tag_) use.peak = use.current;
  total_.peak = total_.current;
}

std::string StoragePool::report() const {
  const std::lock_guard lock(mutex_);
  std::string text = fmt::format("{:<12} {:>12} {:>12}\n", "memory", "now MiB", "peak MiB");
  for (int i = 0; i < kTagCount; ++i) {
    const MemoryUse& use = by_tag_[static_cast<std::size_t>(i)];
    if (use.peak)
      text += fmt::format("{:<12} {:>12.1f} {:>12.1f}\n", name_of(static_cast<Tag>(i)), mib(use.current), mib(use.peak));
  }
  return text + fmt::format("{:<12} {:>12.1f} {:>12.1f}\n", "together", mib(total_.current), mib(total_.peak));
}

std::string StoragePool::out_of_memory(std::size_t bytes, Tag tag) const {
  std::vector<std::pair<std::size_t, int>> users;
  for (int i = 0; i < kTagCount; ++i) users.emplace_back(by_tag_[static_cast<std::size_t>(i)].current, i);
  std::sort(users.rbegin(), users.rend());
  std::string largest;
  for (int i = 0; i < 3 && users[static_cast<std::size_t>(i)].first; ++i) {
    const auto& [size, index] = users[static_cast<std::size_t>(i)];
    largest += fmt::format("{}{} {:.0f} MiB", i ? ", " : "", name_of(static_cast<Tag>(index)), mib(size));
  }
  return fmt::format("out of memory: {:.1f} MiB needed for {}, {:.1f} MiB free, in use: {}", mib(bytes), name_of(tag),
                     mib(allocator_->free_bytes()), largest.empty() ? "nothing" : largest);
}

PoolArena::PoolArena(std::shared_ptr<StoragePool> pool) : pool_(std::move(pool)) {}

PoolArena::~PoolArena() {
  const std::lock_guard lock(pool_->mutex_);
  for (auto& [bytes, blocks] : free_) {
    auto& cached = pool_->free_[bytes];
    cached.insert(cached.end(), blocks.begin(), blocks.end());
  }
  for (auto& [pointer, block] : pool_->live_) {
    if (block.arena == this) block.arena = nullptr;
  }
}

std::size_t PoolArena::bytes() const {
  const std::lock_guard lock(pool_->mutex_);
  return bytes_;
}

ArenaScope::ArenaScope(PoolArena& arena) : arena_(arena) {
  StoragePool& pool = *arena.pool_;
  const std::lock_guard lock(pool.mutex_);
  SWATH_CHECK(!pool.arena_, "two arenas of one pool are open");
  pool.arena_ = &arena;
  ++arena.scope_;
  arena.taken_ = 0;
}

ArenaScope::~ArenaScope() {
  const std::lock_guard lock(arena_.pool_->mutex_);
  arena_.pool_->arena_ = nullptr;
}

std::size_t ArenaScope::live() const {
  const std::lock_guard lock(arena_.pool_->mutex_);
  return arena_.taken_;
}

Storage::Storage(std::shared_ptr<StoragePool> pool, std::size_t bytes, Tag tag)
    : pool_(std::move(pool)), data_(pool_->take(bytes, tag)), bytes_(bytes) {}

Storage::Storage(void* data, std::size_t bytes) : data_(data), bytes_(bytes) {}

Storage::~Storage() {
  if (pool_) pool_->give(data_);
}

}  // namespace swath
