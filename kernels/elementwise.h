// Sum, ReLU, scaling, conversion, fill and column sums over dense arrays. Element types: f32, bf16 or f16, one per call.
// No state, no workspace. Outputs may be the inputs (same address and type), never overlap otherwise.
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

/// out = a + b.
struct AddArgs {
  std::int64_t n = 0;
  DType dtype = DType::f32;
  const void* a = nullptr;  // n
  const void* b = nullptr;  // n
  void* out = nullptr;      // n
};
void add(const AddArgs&, CudaStream);
void add(const AddArgs&, Cpu);

/// y = max(x, 0); NaN stays NaN.
struct ReluArgs {
  std::int64_t n = 0;
  DType dtype = DType::f32;
  const void* x = nullptr;  // n
  void* y = nullptr;        // n
};
void relu(const ReluArgs&, CudaStream);
void relu(const ReluArgs&, Cpu);

/// d_x = d_y where y > 0, else 0.
struct ReluBackwardArgs {
  std::int64_t n = 0;
  DType dtype = DType::f32;
  const void* d_y = nullptr;  // n
  const void* y = nullptr;    // n, the output of relu (its input serves as well)
  void* d_x = nullptr;        // n, may be d_y
  GradMode mode = GradMode::overwrite;
};
void relu_backward(const ReluBackwardArgs&, CudaStream);
void relu_backward(const ReluBackwardArgs&, Cpu);

/// out = factor · device_factor · x, device_factor 1 when null.
struct ScaleArgs {
  std::int64_t n = 0;
  DType dtype = DType::f32;
  const void* x = nullptr;  // n
  void* out = nullptr;      // n
  float factor = 1;
  const float* device_factor = nullptr;  // 1, or null
};
void scale(const ScaleArgs&, CudaStream);
void scale(const ScaleArgs&, Cpu);

/// out = x in another type (f32, bf16); round to nearest even. Equal types copy.
struct CastArgs {
  std::int64_t n = 0;
  DType from = DType::f32;
  DType to = DType::f32;
  const void* x = nullptr;  // n of type `from`
  void* out = nullptr;      // n of type `to`; must not overlap x when the types differ
};
void cast(const CastArgs&, CudaStream);
void cast(const CastArgs&, Cpu);

/// out[i] = value.
struct FillArgs {
  std::int64_t n = 0;
  DType dtype = DType::f32;
  void* out = nullptr;  // n
  float value = 0;
};
void fill(const FillArgs&, CudaStream);
void fill(const FillArgs&, Cpu);

/// sums[j] = Σ_i x[i, j] (a bias gradient), summed in a fixed order; 0 where there are no rows.
struct ColumnSumsArgs {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  DType dtype = DType::f32;
  const void* x = nullptr;  // rows × columns
  float* sums = nullptr;    // columns
  GradMode mode = GradMode::overwrite;
};
void column_sums(const ColumnSumsArgs&, CudaStream);
void column_sums(const ColumnSumsArgs&, Cpu);

}  // namespace swath::kernels

// Cost: each input is read once and each output written once (read as well when accumulating); 1 launch; no workspace.
// Budget: AddBody 32 registers, 128-bit loads; ReluBody 32 registers, 128-bit loads; ReluBackwardBody 32 registers, 128-bit
// loads; ScaleBody 32 registers, 128-bit loads; CastBody 32 registers; FillBody 24 registers; column_sums_kernel 32
// registers, 2112 bytes shared.
