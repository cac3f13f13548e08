// A ring of key rows: a batch's keys replace the oldest. methods.md §6 "Fast MoCo".
#pragma once
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// Row r in use becomes row (*pushed + r) mod capacity of the queue, then *pushed grows by the rows in use. Of more rows than
/// the capacity the last ones stay. Shapes are fixed: `rows` is the largest batch, how many of its rows are in use is read on
/// the device, so the same call serves every batch. min(*pushed, capacity) rows of the queue hold keys.
/// Cost: reads and writes the rows in use once; 2 launches (the counter advances after every row has read it); no workspace.
struct QueuePushArgs {
  const float* keys = nullptr;              // rows × cols, rows keys_ld apart
  const std::int32_t* row_count = nullptr;  // 1: rows in use; null: all
  float* queue = nullptr;                   // capacity × cols
  std::uint64_t* pushed = nullptr;          // 1: rows pushed so far
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t keys_ld = 0;
  std::int64_t capacity = 0;  // ≥ 1
};
void queue_push(const QueuePushArgs& args, CudaStream exec);
void queue_push(const QueuePushArgs& args, Cpu exec);

}  // namespace swath::kernels

// Budget: queue_push_kernel 40 registers, 128-bit loads; advance_kernel 16 registers.
