// The vendor seam of a dry run: what a GPU's backend would queue goes into a ledger, and memory is addresses without bytes.
#pragma once
#include <memory>

#include "engine/device/conv_problem.h"
#include "engine/device/step_ledger.h"

namespace swath::dry {

/// Addresses that nothing may read or write.
class AddressAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override;
  void deallocate(void*, std::size_t) noexcept override {}

 private:
  std::uintptr_t next_ = std::uintptr_t{1} << 44;
};

/// Types and channels are those of the CUDA backend, and so are the calls that stand for one of its own.
class DryBackend final : public Backend {
 public:
  DryBackend(std::shared_ptr<StoragePool> pool, const DeviceOptions& options, StepLedger& ledger, EngineOf engines)
      : pool_(std::move(pool)),
        math_(options.conv_math),
        pipeline_(options.conv_pipeline),
        ledger_(ledger),
        engines_(std::move(engines)) {}

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
  /// The host gets zeros.
  void copy_to_host(void* to, const void* from, std::size_t bytes) override;
  void synchronize() override {}
  std::unique_ptr<HostCopies> host_copies() override;

  MemoryInfo memory_info() const override { return {}; }
  std::vector<std::string> versions() const override { return {"dry run"}; }

 private:
  /// What is fused with a convolution: its name, further bytes, and those of separate kernels.
  struct Fused {
    const char* name = nullptr;
    double read = 0, written = 0, unfused = 0;
  };
  void convolve(ConvProblem problem) { convolve(std::move(problem), {}); }
  void convolve(ConvProblem problem, const Fused& fused);
  void record_gemm(const Gemm& gemm, std::int64_t count);

  std::shared_ptr<StoragePool> pool_;
  Float32Math math_;
  bool pipeline_;
  StepLedger& ledger_;
  EngineOf engines_;
};

}  // namespace swath::dry
