// Runs one function over many items on a few plain threads (not OpenMP, which belongs to the training step).
#pragma once
#include <cstdint>
#include <functional>

namespace swath {

struct WorkersOptions {
  int workers = 0;  // 0: one per core
  /// Called on the calling thread every `interval_ms` and at the end with the number of items done; may throw to stop.
  std::function<void(std::int64_t done)> tick{};
  int interval_ms = 200;
};

/// Calls body(item, worker) for items 0 … n − 1 in increasing order of start. An exception of a body or of the tick stops the
/// others after their present item and is rethrown; items already started are finished.
void run_workers(std::int64_t n, const WorkersOptions& options, const std::function<void(std::int64_t item, int worker)>& body);

/// The number of threads that `workers` asks for.
int worker_count(int workers);

}  // namespace swath
