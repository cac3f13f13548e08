// Loops over an OpenMP team for the CPU twins. Results never depend on the number of threads:
// a loop writes disjoint outputs, and reductions run over fixed chunks that are summed in order.
#pragma once
#include <algorithm>
#include <cstdint>
#include <exception>

namespace swath::kernels {

/// Calls body(i) for every i in [0, n); iterations must write disjoint memory and not throw.
template <class Body>
void parallel_for(std::int64_t n, const Body& body, std::int64_t serial_below = 2) {
  if (n < serial_below) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < n; ++i) body(i);
}

/// The same for long iterations that differ in length, or run on cores that do: an idle thread takes the next one.
template <class Body>
void parallel_tasks(std::int64_t n, const Body& body, std::int64_t serial_below = 2) {
  if (n < serial_below) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < n; ++i) body(i);
}

/// The `serial_below` of a loop whose body does about `operations` vectorised operations: waking the team costs as much as
/// some ten thousand of them.
constexpr std::int64_t serial_below_for(std::int64_t operations) {
  return std::max<std::int64_t>(2, 32768 / std::max<std::int64_t>(1, operations));
}

/// Calls body(begin, end) over consecutive chunks of at most `chunk` elements.
template <class Body>
void parallel_chunks(std::int64_t n, std::int64_t chunk, const Body& body, std::int64_t serial_below = 2) {
  const std::int64_t chunks = (n + chunk - 1) / chunk;
  parallel_for(
      chunks, [&](std::int64_t c) { body(c * chunk, std::min(n, (c + 1) * chunk)); }, serial_below);
}

}  // namespace swath::kernels
