// The CUDA side of the vendor seam: cuDNN for convolutions, cuBLASLt for products of matrices.
#pragma once
#include "engine/device/backend.h"
#include "engine/device/cuda/context.h"
#include "engine/device/cuda/conv.h"
#include "engine/device/cuda/gemm.h"

namespace swath::cuda {

/// Work is queued on the context's stream. Convolutions take f32, bf16 and f16 activations; sums are float32.
class CudaBackend final : public Backend {
 public:
  CudaBackend(std::shared_ptr<const Context> context, std::shared_ptr<StoragePool> pool, const DeviceOptions& options);

  /// The type of the activations.
  DType conv_weight_type(DType activations) const override { return activations; }
  std::int64_t conv_channels(DType activations, std::int64_t channels) const override {
    return tensor_core_channels(activations, channels);
  }
  void conv_forward(const ConvGeometry& geometry, const Tensor& x, const Tensor& w, const Tensor& y) override;
  void conv_backward_data(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w, const Tensor& dx) override;
  void conv_backward_weight(const ConvGeometry& geometry, const Tensor& x, const Tensor& dy, const Tensor& dw,
                            GradMode mode) override;
  bool fuses_norms(DType activations) const override { return pipeline_ && activations == DType::f16; }
  void conv_forward_normal(const ConvGeometry& geometry, const Tensor& x, const InputNorm& norm, const Tensor& w,
                           const Tensor& y, const Tensor& sums) override;
  void conv_backward_data_masked(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w, const OutputMask& mask,
                                 const Tensor& dx) override;
  void conv_backward_weight_normal(const ConvGeometry& geometry, const Tensor& x, const InputNorm& norm, const Tensor& dy,
                                   const Tensor& dw, GradMode mode) override;
  void gemm(const Gemm& gemm) override;
  void gemm_strided_batched(const Gemm& first, std::int64_t count, std::int64_t stride_a, std::int64_t stride_b,
                            std::int64_t stride_c) override;

  void copy(void* to, const void* from, std::size_t bytes) override;
  void fill_zero(void* to, std::size_t bytes) override;
  void copy_from_host(void* to, const void* from, std::size_t bytes) override;
  void copy_to_host(void* to, const void* from, std::size_t bytes) override;
  void synchronize() override;

  std::unique_ptr<HostCopies> host_copies() override;
  std::shared_ptr<Allocator> host_allocator() override;

  /// Not with SWATH_SYNC=1, which waits after every call.
  bool captures() const override;
  std::unique_ptr<DeviceGraph> capture(const std::function<void()>& work) override;

  MemoryInfo memory_info() const override;
  std::vector<std::string> versions() const override;

  const Context& context() const { return *context_; }

 private:
  /// Throws InternalError during capture().
  void refuse_while_capturing(const char* what) const;

  std::shared_ptr<const Context> context_;
  bool pipeline_;
  Convolutions convolutions_;
  Products products_;
  bool capturing_ = false;
};

}  // namespace swath::cuda
