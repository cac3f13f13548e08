// Convolutions through oneDNN: NHWC activations, K×R×S×C float32 weights, plans made once per geometry.
#pragma once
#include <memory>

#include "engine/core/storage.h"
#include "engine/device/backend.h"

namespace swath::cpu {

/// Whether the processor multiplies bfloat16 itself.
bool has_bf16();

/// Whether the weights of a dense 1×1 convolution are so large that bringing them into the layout of oneDNN's forward
/// primitive takes a good part of its time. Such a forward pass is computed as a data gradient, whose layout is close to
/// ours: equally fast itself, and the reorder takes a tenth (f32) to a half (bf16) of the time.
bool has_large_matrix(const ConvGeometry& geometry);

/// Scratch memory comes from `pool`. Pointers are the first elements of dense arrays of the geometry's shapes; the batch
/// is at least one.
class Convolutions {
 public:
  explicit Convolutions(std::shared_ptr<StoragePool> pool);
  ~Convolutions();

  void forward(const ConvGeometry& geometry, const void* x, const float* w, void* y);
  void backward_data(const ConvGeometry& geometry, const void* dy, const float* w, void* dx);
  void backward_weight(const ConvGeometry& geometry, const void* x, const void* dy, float* dw, GradMode mode);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace swath::cpu
