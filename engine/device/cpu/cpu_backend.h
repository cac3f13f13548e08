// The CPU side of the vendor seam: oneDNN for convolutions, OpenBLAS for products of matrices.
#pragma once
#include "engine/device/backend.h"
#include "engine/device/cpu/conv.h"

namespace swath::cpu {

/// Work is done when a call returns. Convolutions take float32 activations, and bfloat16 ones on a processor with
/// AVX512-BF16 (UserError otherwise); sums are float32 in both cases.
class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(std::shared_ptr<StoragePool> pool) : convolutions_(std::move(pool)) {}

  void conv_forward(const ConvGeometry& geometry, const Tensor& x, const Tensor& w, const Tensor& y) override;
  void conv_backward_data(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w, const Tensor& dx) override;
  void conv_backward_weight(const ConvGeometry& geometry, const Tensor& x, const Tensor& dy, const Tensor& dw,
                            GradMode mode) override;
  void gemm(const Gemm& gemm) override;
  void gemm_strided_batched(const Gemm& first, std::int64_t count, std::int64_t stride_a, std::int64_t stride_b,
                            std::int64_t stride_c) override;

  void copy(void* to, const void* from, std::size_t bytes) override;
  void fill_zero(void* to, std::size_t bytes) override;
  void copy_from_host(void* to, const void* from, std::size_t bytes) override;
  void copy_to_host(void* to, const void* from, std::size_t bytes) override;
  void synchronize() override {}

  MemoryInfo memory_info() const override;
  std::vector<std::string> versions() const override;

 private:
  Convolutions convolutions_;
};

}  // namespace swath::cpu
