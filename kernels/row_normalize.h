// Rows scaled to unit length, and the gradient of that. methods.md §2 (heads), §8 (embeddings).
#pragma once
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// Rows shorter than this are divided by it instead of by their length.
constexpr float kRowNormFloor = 1e-12f;

/// y_i = x_i / max(|x_i|, 1e-12). A column slice of a wider matrix is given by its first element and leading dimension.
/// `y` may be `x` (with the same leading dimension). Cost: reads x once from memory (a second time from cache), writes y;
/// 3 operations an element; 1 launch; no workspace.
struct RowNormalizeArgs {
  const float* x = nullptr;   // rows × cols, rows x_ld apart
  float* y = nullptr;         // rows × cols, rows y_ld apart
  float* inv_norm = nullptr;  // rows: 1 / max(|x_i|, 1e-12); may be null
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t x_ld = 0;
  std::int64_t y_ld = 0;
};
void row_normalize(const RowNormalizeArgs& args, CudaStream exec);
void row_normalize(const RowNormalizeArgs& args, Cpu exec);

/// d_x_i = (d_y_i − y_i ⟨y_i, d_y_i⟩) · inv_norm_i; where the floor was in force the norm is constant and only the scaling
/// remains. `d_x` may be `d_y` in mode overwrite. Cost: reads y and d_y once from memory, writes d_x; 5 operations an element;
/// 1 launch; no workspace.
struct RowNormalizeBackwardArgs {
  const float* y = nullptr;         // rows × cols, the forward's output
  const float* d_y = nullptr;       // rows × cols
  const float* inv_norm = nullptr;  // rows, the forward's output
  float* d_x = nullptr;             // rows × cols
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t y_ld = 0;
  std::int64_t d_y_ld = 0;
  std::int64_t d_x_ld = 0;
  GradMode d_x_mode = GradMode::overwrite;
};
void row_normalize_backward(const RowNormalizeBackwardArgs& args, CudaStream exec);
void row_normalize_backward(const RowNormalizeBackwardArgs& args, Cpu exec);

}  // namespace swath::kernels

// Budget: row_normalize_kernel 32 registers, 128-bit loads; row_normalize_backward_kernel 48 registers, 128-bit loads.
