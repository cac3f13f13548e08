// Copies sampled rows from the memory map into a ring of slots on a background thread, ahead of the training step.
#pragma once
#include <cstdint>
#include <memory>

#include "data/packed.h"
#include "data/sampler.h"
#include "engine/core/storage.h"

namespace swath {

/// One batch in a slot of the ring. Valid until the next call of Loader::next, finish or the destructor.
struct Batch {
  const void* pixels = nullptr;           // rows of this rank's slice × height × width × channels of the packed dtype
  const std::int64_t* rows = nullptr;     // n, row numbers of the packed split
  const std::uint64_t* labels = nullptr;  // n × LabelMasks::words(), under SampledBatch::class_mask
  std::int64_t n = 0;
  std::int64_t tag = 0;   // SampledBatch::tag
  SamplerState position;  // of this batch
  SamplerState next;      // what to store for an exact resume after this batch
};

struct LoaderOptions {
  /// Of so many ranks, this one copies the pixels of its slice of every batch's rows (slice_of, engine/dist/communicator.h).
  int rank = 0, ranks = 1;
  int slots = 3;  // ≥ 2: one in use, the others being filled
  /// Memory of the slots (page-locked memory for CUDA); the heap when null.
  std::shared_ptr<Allocator> allocator{};
};

/// One consumer thread. The packed split must outlive the loader; a sampler must live until its epoch has finished.
class Loader {
 public:
  explicit Loader(const PackedSplit& split, LoaderOptions options = {});
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Starts prefetching from the sampler's present state to its epoch's end. Until then only the loader touches the sampler.
  /// Abandons an epoch still under way.
  void start(Sampler& sampler);
  /// Blocks until the next batch is there; null at the epoch's end. Rethrows what the background thread threw.
  const Batch* next();
  /// Stops prefetching and waits for the background thread; the sampler is free again, set to the state after the last batch
  /// handed out.
  void finish();

  /// Time that `next` spent waiting, and bytes copied, since construction.
  double seconds_waiting() const;
  std::uint64_t bytes_copied() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace swath
