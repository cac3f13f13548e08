// Rows picked by index, and the gradient of that (rows added where they came from). methods.md §1 (pair rows).
#pragma once
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// out[r] = x[index[r]]; a row with index −1, and every row from *row_count on, is zero.
/// Cost: reads and writes rows × cols floats; 1 launch; no workspace.
struct GatherRowsArgs {
  const float* x = nullptr;                 // x_rows × cols, rows x_ld apart
  const std::int32_t* index = nullptr;      // rows: −1 or a row of x
  const std::int32_t* row_count = nullptr;  // 1: rows in use; null: all
  float* out = nullptr;                     // rows × cols, rows out_ld apart
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t x_ld = 0;
  std::int64_t out_ld = 0;
};
void gather_rows(const GatherRowsArgs& args, CudaStream exec);
void gather_rows(const GatherRowsArgs& args, Cpu exec);

/// d_x[index[r]] += d_out[r] over the rows in use, added in the order of r (no float atomics: the result is reproducible).
/// In mode overwrite a row of x that no index names becomes zero.
/// Cost: reads d_out, writes d_x, and reads the index once per row of x and 512 columns (CPU: once per 16 rows of x) from
/// cache; 1 launch; no workspace.
struct ScatterAddRowsArgs {
  const float* d_out = nullptr;             // rows × cols, rows d_out_ld apart
  const std::int32_t* index = nullptr;      // rows: −1 or a row of x
  const std::int32_t* row_count = nullptr;  // 1: rows in use; null: all
  float* d_x = nullptr;                     // x_rows × cols, rows d_x_ld apart
  std::int64_t rows = 0;
  std::int64_t x_rows = 0;
  std::int64_t cols = 0;
  std::int64_t d_out_ld = 0;
  std::int64_t d_x_ld = 0;
  GradMode d_x_mode = GradMode::overwrite;
};
void scatter_add_rows(const ScatterAddRowsArgs& args, CudaStream exec);
void scatter_add_rows(const ScatterAddRowsArgs& args, Cpu exec);

}  // namespace swath::kernels

// Budget: gather_rows_kernel 40 registers, 128-bit loads; scatter_add_rows_kernel 32 registers, 528 bytes shared, 128-bit
// loads.
