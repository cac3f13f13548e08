// The vendor seam: what oneDNN and BLAS do on the CPU, cuDNN and cuBLASLt on CUDA. Everything else is an own kernel.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/storage.h"
#include "engine/core/tensor.h"
#include "engine/device/conv_fusion.h"

namespace swath {

/// One 2-D convolution. Activations are NHWC, weights K×R×S×C (output channel, kernel row, kernel column, input channel).
struct ConvGeometry {
  std::int64_t n = 0, h = 0, w = 0, c = 0;  // input
  std::int64_t k = 0, r = 0, s = 0;         // output channels, kernel
  std::int64_t stride = 1, pad = 0;
  DType dtype = DType::f32;  // of the activations; weights and their gradient are f32 in every case

  std::int64_t out_h() const { return (h + 2 * pad - r) / stride + 1; }
  std::int64_t out_w() const { return (w + 2 * pad - s) / stride + 1; }
  Shape input_shape() const { return {n, h, w, c}; }
  Shape output_shape() const { return {n, out_h(), out_w(), k}; }
  Shape weight_shape() const { return {k, r, s, c}; }
  bool operator==(const ConvGeometry&) const = default;
};

/// Tensor cores take 16-bit elements in eights.
inline std::int64_t tensor_core_channels(DType activations, std::int64_t channels) {
  return kernels::size_of(activations) == 2 ? (channels + 7) / 8 * 8 : channels;
}

/// C = alpha · op(A) op(B) + beta · C (+ bias per column). Row-major float32; leading dimensions in elements.
/// Always full float32: no TF32, no reduced-precision sums (methods.md §5).
struct Gemm {
  std::int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;  // m×k, or k×m when transpose_a
  const float* b = nullptr;  // k×n, or n×k when transpose_b
  float* c = nullptr;        // m×n
  std::int64_t lda = 0, ldb = 0, ldc = 0;
  enum class Op : std::uint8_t { plain, transposed };
  Op op_a = Op::plain, op_b = Op::plain;
  float alpha = 1, beta = 0;
  const float* bias = nullptr;  // n values, or none
};

struct MemoryInfo {
  std::size_t free = 0, total = 0;
};

/// What a captured piece of work consists of.
struct GraphSize {
  std::int64_t kernels = 0, copies = 0, fills = 0;
};

/// Work that was recorded once and is queued again, on the stream of its device, by one call. The memory that it names must
/// outlive it, and hold what it held then.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  virtual void launch() = 0;
  virtual GraphSize size() const = 0;
};

/// Copies from the host beside the work on the device's stream, into a buffer that this work reads: copy, acquire, work that
/// reads the buffer, release, and again.
class HostCopies {
 public:
  virtual ~HostCopies() = default;
  /// Queues a copy, which begins when the device has come to the last release().
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  /// Work queued from here on begins when the copies are done.
  virtual void acquire() = 0;
  /// The buffer may be overwritten when the work queued so far is done.
  virtual void release() = 0;
  /// Whether the copies are done, and the host memory may be reused. Does not wait.
  virtual bool done() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// The type in which convolutions of such activations take their weights.
  virtual DType conv_weight_type(DType /*activations*/) const { return DType::f32; }
  /// How many channels an image of such elements should have for its first convolution; those beyond its own are zero.
  virtual std::int64_t conv_channels(DType /*activations*/, std::int64_t channels) const { return channels; }

  /// y = x ∗ w. x: geometry.input_shape(), w: weight_shape() of conv_weight_type(), y: output_shape().
  virtual void conv_forward(const ConvGeometry& geometry, const Tensor& x, const Tensor& w, const Tensor& y) = 0;
  /// dx from dy; overwrites dx.
  virtual void conv_backward_data(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w, const Tensor& dx) = 0;
  /// dw from x and dy, overwritten or accumulated: float32, or conv_weight_type() of the activations.
  virtual void conv_backward_weight(const ConvGeometry& geometry, const Tensor& x, const Tensor& dy, const Tensor& dw,
                                    GradMode mode) = 0;

  /// Whether the following three calls exist for such activations; the others refuse (UserError).
  virtual bool fuses_norms(DType /*activations*/) const { return false; }
  /// conv_forward of the normalised x. sums: 2×K f32, written: Σ y and Σ y² over all rows. C and K are multiples of 8.
  virtual void conv_forward_normal(const ConvGeometry& geometry, const Tensor& x, const InputNorm& norm, const Tensor& w,
                                   const Tensor& y, const Tensor& sums);
  /// conv_backward_data, masked and summed; dx is no other tensor of the call.
  virtual void conv_backward_data_masked(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w,
                                         const OutputMask& mask, const Tensor& dx);
  /// conv_backward_weight of the normalised x, which has no residual.
  virtual void conv_backward_weight_normal(const ConvGeometry& geometry, const Tensor& x, const InputNorm& norm,
                                           const Tensor& dy, const Tensor& dw, GradMode mode);

  virtual void gemm(const Gemm& gemm) = 0;
  /// `count` products of one form; strides in elements between consecutive matrices.
  virtual void gemm_strided_batched(const Gemm& first, std::int64_t count, std::int64_t stride_a, std::int64_t stride_b,
                                    std::int64_t stride_c) = 0;

  /// Queued on the device's stream (CPU: done on return).
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void fill_zero(void* to, std::size_t bytes) = 0;
  /// Blocking: the host buffer may be reused on return.
  virtual void copy_from_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual void copy_to_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  /// Null on the CPU, where kernels read host memory in place.
  virtual std::unique_ptr<HostCopies> host_copies() { return nullptr; }
  /// Host memory that the device copies from without an intermediate copy; null on the CPU.
  virtual std::shared_ptr<Allocator> host_allocator() { return nullptr; }

  /// Whether capture() records; never on the CPU.
  virtual bool captures() const { return false; }
  /// Records what `work` queues on the stream instead of running it; null where nothing is recorded, and then `work` is not
  /// called. Work that waits for the device or copies from or to the host cannot be recorded. Rethrows what `work` throws;
  /// InternalError when the device refuses.
  virtual std::unique_ptr<DeviceGraph> capture(const std::function<void()>& /*work*/) { return nullptr; }

  /// Memory of the device, as the driver or the system tells it.
  virtual MemoryInfo memory_info() const = 0;
  /// Device name and library versions, one "name version" per entry, for run folders and `doctor`.
  virtual std::vector<std::string> versions() const = 0;
};

}  // namespace swath
