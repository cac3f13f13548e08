// Copies a block of columns between row-major matrices: concatenation, slices and their gradients. No workspace.
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

/// to[r, c] = from[r, c] (or += when accumulating) for c below `columns`; the strides are the widths of the two matrices.
struct CopyColumnsArgs {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  DType dtype = DType::f32;      // f32, bf16 or f16
  const void* from = nullptr;    // rows × columns, at the first column of the block
  std::int64_t from_stride = 0;  // elements between rows, ≥ columns
  void* to = nullptr;            // rows × columns, at the first column of the block
  std::int64_t to_stride = 0;    // elements between rows, ≥ columns
  GradMode mode = GradMode::overwrite;
};
void copy_columns(const CopyColumnsArgs&, CudaStream);
void copy_columns(const CopyColumnsArgs&, Cpu);

}  // namespace swath::kernels

// Cost: reads and writes the block once (reads both when accumulating); 1 launch; no workspace.
// Budget: copy_columns_kernel 32 registers, 128-bit loads.
