#include "data/loader.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "engine/core/error.h"
#include "engine/dist/communicator.h"

namespace swath {

namespace {

constexpr std::size_t kAlignment = 256;

class HeapAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override { return ::operator new (bytes, std::align_val_t{kAlignment}); }
  void deallocate(void* pointer, std::size_t) noexcept override { ::operator delete (pointer, std::align_val_t{kAlignment}); }
};

struct Slot {
  void* pixels = nullptr;
  std::size_t capacity = 0;
  SampledBatch sampled;
  std::vector<std::uint64_t> labels;
  SamplerState position, next;
};

}  // namespace

/// The background thread fills slot `filled % slots` while filled − released < slots; the consumer reads slot `taken − 1`.
struct Loader::Impl {
  const PackedSplit& split;
  int rank, ranks;
  std::shared_ptr<Allocator> allocator;
  std::vector<Slot> slots;
  Batch batch;

  std::mutex mutex;
  std::condition_variable changed;
  Sampler* sampler = nullptr;  // of the epoch under way, null between epochs
  bool busy = false;           // the background thread works on the epoch
  bool stop = false, quit = false, ended = true;
  std::uint64_t filled = 0, taken = 0, released = 0;
  SamplerState resume;
  std::exception_ptr error;
  double waiting = 0;
  std::uint64_t copied = 0;
  // Asking for pages that are there costs a third of the copy: once per row is enough when all rows fit in memory.
  bool always_advise;
  std::vector<std::uint8_t> advised;
  std::thread thread;

  Impl(const PackedSplit& s, const LoaderOptions& options)
      : split(s),
        rank(options.rank),
        ranks(options.ranks),
        allocator(options.allocator ? options.allocator : std::make_shared<HeapAllocator>()) {
    const auto memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
    always_advise = static_cast<double>(s.rows()) * static_cast<double>(s.row_bytes()) > memory / 2;
    advised.resize(static_cast<std::size_t>(s.rows()));
    if (options.slots < 2) throw UserError(fmt::format("a loader needs at least 2 slots, not {}", options.slots));
    slots.resize(static_cast<std::size_t>(options.slots));
    thread = std::thread([this] { serve(); });
  }
  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stop = quit = true;
    }
    changed.notify_all();
    thread.join();
    for (Slot& slot : slots)
      if (slot.pixels) allocator->deallocate(slot.pixels, slot.capacity);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void serve() {
    for (;;) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return quit || busy; });
        if (quit) return;
      }
      std::exception_ptr failure;
      try {
        epoch();
      } catch (...) {
        failure = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      busy = false;
      ended = true;
      error = std::move(failure);  // the last reference of this thread
      changed.notify_all();
    }
  }

  void epoch() {
    for (;;) {
      Slot* slot;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stop || filled - released < slots.size(); });
        if (stop) return;
        slot = &slots[filled % slots.size()];
      }
      slot->position = sampler->state();
      if (!sampler->next(slot->sampled)) return;
      slot->next = sampler->state();
      fill(*slot);
      const std::lock_guard lock(mutex);
      copied += static_cast<std::size_t>(own_rows(slot->sampled.rows.size()).size) * split.row_bytes();
      ++filled;
      changed.notify_all();
    }
  }

  /// This rank's slice of a batch of n rows.
  RowSlice own_rows(std::size_t n) const { return slice_of(static_cast<std::int64_t>(n), rank, ranks); }

  void fill(Slot& slot) {
    const std::size_t row_bytes = split.row_bytes(), n = slot.sampled.rows.size();
    const RowSlice mine = own_rows(n);
    const auto begin = static_cast<std::size_t>(mine.begin), end = static_cast<std::size_t>(mine.end());
    reserve(slot, (end - begin) * row_bytes);
    const auto words = static_cast<std::size_t>(split.labels().words());
    slot.labels.resize(n * words);
    for (std::size_t j = 0; j < n; ++j) {
      const std::int64_t row = slot.sampled.rows[j];
      SWATH_CHECK(row >= 0 && row < split.rows(), "the sampler drew row {} of {}", row, split.rows());
      if (j < begin || j >= end) continue;
      if (always_advise || !std::exchange(advised[static_cast<std::size_t>(row)], std::uint8_t{1})) split.will_need(row);
    }
    for (std::size_t j = 0; j < n; ++j) {
      const std::int64_t row = slot.sampled.rows[j];
      if (j >= begin && j < end)
        std::memcpy(static_cast<std::uint8_t*>(slot.pixels) + (j - begin) * row_bytes, split.row(row), row_bytes);
      std::memcpy(slot.labels.data() + j * words, split.labels().row(row), words * sizeof(std::uint64_t));
    }
    const std::vector<std::uint64_t>& mask = slot.sampled.class_mask;
    if (mask.empty()) return;
    SWATH_CHECK(mask.size() == words, "a class mask of {} words for {}", mask.size(), words);
    for (std::size_t i = 0; i < slot.labels.size(); ++i) slot.labels[i] &= mask[i % words];
  }

  void reserve(Slot& slot, std::size_t bytes) const {
    if (bytes <= slot.capacity) return;
    if (slot.pixels) allocator->deallocate(std::exchange(slot.pixels, nullptr), std::exchange(slot.capacity, 0));
    slot.pixels = allocator->allocate(bytes);
    slot.capacity = bytes;
  }

  /// Waits until the background thread is idle and sets the sampler to what the consumer has seen.
  void settle() {
    std::unique_lock lock(mutex);
    stop = true;
    changed.notify_all();
    changed.wait(lock, [&] { return !busy; });
    if (sampler) sampler->set_state(resume);
    sampler = nullptr;
    filled = taken = released = 0;
    error = nullptr;
    ended = true;
  }
};

Loader::Loader(const PackedSplit& split, LoaderOptions options) : impl_(std::make_unique<Impl>(split, options)) {}
Loader::~Loader() = default;

void Loader::start(Sampler& sampler) {
  impl_->settle();
  const std::lock_guard lock(impl_->mutex);
  impl_->sampler = &sampler;
  impl_->resume = sampler.state();
  impl_->stop = impl_->ended = false;
  impl_->busy = true;
  impl_->changed.notify_all();
}

const Batch* Loader::next() {
  Impl& i = *impl_;
  std::unique_lock lock(i.mutex);
  if (i.taken > i.released) {
    i.released = i.taken;
    i.changed.notify_all();
  }
  if (i.filled == i.taken && !i.ended) {
    const auto begin = std::chrono::steady_clock::now();
    i.changed.wait(lock, [&] { return i.filled > i.taken || i.ended; });
    i.waiting += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  if (i.filled == i.taken) {
    Sampler* const sampler = std::exchange(i.sampler, nullptr);  // the background thread has left it
    if (!i.error) return nullptr;
    if (sampler) sampler->set_state(i.resume);
    std::rethrow_exception(i.error);
  }
  const Slot& slot = i.slots[i.taken++ % i.slots.size()];
  i.resume = slot.next;
  i.batch = {.pixels = slot.pixels,
             .rows = slot.sampled.rows.data(),
             .labels = slot.labels.data(),
             .n = static_cast<std::int64_t>(slot.sampled.rows.size()),
             .tag = slot.sampled.tag,
             .position = slot.position,
             .next = slot.next};
  return &i.batch;
}

void Loader::finish() { impl_->settle(); }

double Loader::seconds_waiting() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->waiting;
}

std::uint64_t Loader::bytes_copied() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->copied;
}

}  // namespace swath
