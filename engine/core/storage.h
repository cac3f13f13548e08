// Device memory: a caching pool whose blocks carry the purpose they serve.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace swath {

/// What a block of memory is for; `--memory` reports by tag.
enum class Tag : std::uint8_t { weights, grads, moments, activations, workspace, bank, input, other };
constexpr int kTagCount = 8;
const char* name_of(Tag tag);

/// Source of raw memory. An embedding application may bring its own. Must outlive every tensor made from it.
class Allocator {
 public:
  virtual ~Allocator() = default;
  /// At least `bytes` (> 0) aligned to 256; throws DeviceError when there is no memory.
  virtual void* allocate(std::size_t bytes) = 0;
  /// Work queued on the device's stream may still use the block: wait for it (cudaFree does), or free in stream order.
  virtual void deallocate(void* pointer, std::size_t bytes) noexcept = 0;
  /// Bytes still free, or 0 when unknown.
  virtual std::size_t free_bytes() const { return 0; }
};

struct MemoryUse {
  std::size_t current = 0;
  std::size_t peak = 0;
};

class StoragePool;

/// Blocks set aside within a pool for work that was captured with their addresses: what is taken while an ArenaScope is open
/// belongs to the arena and returns to it. Outlives that work.
class PoolArena {
 public:
  explicit PoolArena(std::shared_ptr<StoragePool> pool);
  /// Its blocks return to the pool's cache; one still in use does so when it is given back.
  ~PoolArena();
  PoolArena(const PoolArena&) = delete;
  PoolArena& operator=(const PoolArena&) = delete;

  /// Bytes set aside, in use or not.
  std::size_t bytes() const;

 private:
  friend class StoragePool;
  friend class ArenaScope;
  std::shared_ptr<StoragePool> pool_;
  std::map<std::size_t, std::vector<void*>> free_;
  std::size_t bytes_ = 0;
  std::uint64_t scope_ = 0;  // the number of the last one
  std::size_t taken_ = 0;    // in it, and still in use
};

/// While alive, blocks of the arena's pool come from the arena. Scopes do not nest.
class ArenaScope {
 public:
  explicit ArenaScope(PoolArena& arena);
  ~ArenaScope();
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

  /// Blocks taken since it was opened that are still in use.
  std::size_t live() const;

 private:
  PoolArena& arena_;
};

/// Caches freed blocks by size, so that the same sequence of requests gets the same addresses. Thread-safe.
class StoragePool {
 public:
  explicit StoragePool(std::shared_ptr<Allocator> allocator);
  ~StoragePool();
  StoragePool(const StoragePool&) = delete;
  StoragePool& operator=(const StoragePool&) = delete;

  void* take(std::size_t bytes, Tag tag);
  void give(void* pointer) noexcept;
  /// Returns cached blocks to the allocator; an arena keeps its own.
  void trim() noexcept;

  MemoryUse use(Tag tag) const;
  /// All tags together; `peak` is the highest sum at one time.
  MemoryUse use() const;
  /// Bytes held from the allocator, cached blocks included.
  std::size_t reserved() const;
  void reset_peaks();
  /// A table of current and peak MiB by tag.
  std::string report() const;

 private:
  friend class PoolArena;
  friend class ArenaScope;
  using FreeBlocks = std::map<std::size_t, std::vector<void*>>;
  struct Block {
    void* pointer = nullptr;
    std::size_t bytes = 0;
  };
  struct Live {
    std::size_t bytes;
    Tag tag;
    PoolArena* arena;     // null: none
    std::uint64_t scope;  // of the arena
  };
  static Block take_cached(FreeBlocks& blocks, std::size_t size, Tag tag);
  Block allocate(std::size_t size, Tag tag);
  void release_cached() noexcept;
  std::string out_of_memory(std::size_t bytes, Tag tag) const;

  std::shared_ptr<Allocator> allocator_;
  mutable std::mutex mutex_;
  FreeBlocks free_;
  PoolArena* arena_ = nullptr;
  std::unordered_map<void*, Live> live_;
  std::array<MemoryUse, kTagCount> by_tag_{};
  MemoryUse total_;
  std::size_t reserved_ = 0;
};

/// One block of a pool, returned when the last tensor on it is gone; or memory of somebody else's.
class Storage {
 public:
  Storage(std::shared_ptr<StoragePool> pool, std::size_t bytes, Tag tag);
  /// Borrowed memory, which the owner keeps longer than any tensor on it.
  Storage(void* data, std::size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<StoragePool> pool_;
  void* data_;
  std::size_t bytes_;
};

}  // namespace swath
