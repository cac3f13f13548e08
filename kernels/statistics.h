// A ring of per-step scalars that stays on the device until it is drained. Design: one batch, disk to weight update.
#pragma once
#include <array>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

constexpr std::int64_t kStatisticsWidth = 16;

/// Writes values[0 … width) to row *step mod capacity of the ring and *step to ring_step there. A null pointer gives the count
/// of that number, as a float, or 0.
/// A row whose ring_step is not the step looked for has been overwritten or not been written.
/// Cost: 64 bytes read, 72 written; 1 launch; no workspace.
struct PushStatisticsArgs {
  std::array<const float*, kStatisticsWidth> values{};         // each 1
  std::array<const std::int32_t*, kStatisticsWidth> counts{};  // each 1; read where the value is null
  const std::uint64_t* step = nullptr;                         // 1
  float* ring = nullptr;                                       // capacity × 16
  std::uint64_t* ring_step = nullptr;                          // capacity; may be null
  std::int64_t capacity = 0;                                   // 0: nothing is written
};
void push_statistics(const PushStatisticsArgs& args, CudaStream exec);
void push_statistics(const PushStatisticsArgs& args, Cpu exec);

}  // namespace swath::kernels

// Budget: push_statistics_kernel 24 registers.
