// Dropout with inverted scaling (methods.md §2). No mask is stored: the backward pass is the same call on the gradient.
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

/// y = x / keep where the element's draw is below keep, else 0. The draw of element (r, c) depends on
/// (seed, step, layer, (row_offset + r) · columns + c) alone.
struct DropoutArgs {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  DType dtype = DType::f32;  // f32, bf16 or f16
  const void* x = nullptr;   // rows × columns
  void* y = nullptr;         // rows × columns, may be x
  float keep = 1;            // in (0, 1]
  std::uint64_t seed = 0;
  const std::uint64_t* step = nullptr;  // 1, device
  std::int64_t row_offset = 0;          // first row's number in the whole batch
  std::uint32_t layer = 0;              // different layers draw different numbers; below 2^24
};
void dropout(const DropoutArgs&, CudaStream);
void dropout(const DropoutArgs&, Cpu);

}  // namespace swath::kernels

// Cost: reads and writes every element once; a quarter of a Philox block an element; 1 launch; no workspace.
// Budget: dropout_kernel 40 registers.
