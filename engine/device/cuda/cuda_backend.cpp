// The vendor seam on CUDA: checks of shapes, copies on the stream, versions.
#include "engine/device/cuda/cuda_backend.h"

#include "engine/device/cuda/allocator.h"
#include "engine/device/cuda/copy_stream.h"
#include "engine/device/cuda/error.h"
#include "engine/device/cuda/graph.h"
#include "engine/device/expect_tensor.h"

namespace swath::cuda {

namespace {

void expect_possible(const ConvGeometry& g) {
  if (g.dtype != DType::f32 && g.dtype != DType::bf16 && g.dtype != DType::f16)
    throw UserError(fmt::format("convolutions take f32, bf16 or f16 activations, not {}", kernels::name_of(g.dtype)));
  expect_fits(g);
}

}  // namespace

CudaBackend::CudaBackend(std::shared_ptr<const Context> context, std::shared_ptr<StoragePool> pool,
                         const DeviceOptions& options)
    : context_(context), pipeline_(options.conv_pipeline), convolutions_(context, pool, options), products_(context, pool) {}

void CudaBackend::conv_forward(const ConvGeometry& geometry, const Tensor& x, const Tensor& w, const Tensor& y) {
  expect_possible(geometry);
  expect_arrays(ConvPass::forward, geometry, x, w, y, geometry.dtype);
  context_->make_current();
  if (geometry.n) convolutions_.forward(geometry, x.raw(), w.raw(), y.raw());
}

void CudaBackend::conv_backward_data(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w, const Tensor& dx) {
  expect_possible(geometry);
  expect_arrays(ConvPass::backward_data, geometry, dx, w, dy, geometry.dtype);
  context_->make_current();
  if (geometry.n) convolutions_.backward_data(geometry, dy.raw(), w.raw(), dx.raw());
}

void CudaBackend::conv_backward_weight(const ConvGeometry& geometry, const Tensor& x, const Tensor& dy, const Tensor& dw,
                                       GradMode mode) {
  expect_possible(geometry);
  expect_arrays(ConvPass::backward_weight, geometry, x, dw, dy, geometry.dtype);
  context_->make_current();
  if (geometry.n) {
    convolutions_.backward_weight(geometry, x.raw(), {}, dy.raw(), dw, mode);
  } else if (mode == GradMode::overwrite) {
    dw.fill_zero();
  }
}

void CudaBackend::conv_forward_normal(const ConvGeometry& geometry, const Tensor& x, const InputNorm& norm, const Tensor& w,
                                      const Tensor& y, const Tensor& sums) {
  expect_possible(geometry);
  expect_arrays(ConvPass::forward, geometry, x, w, y, geometry.dtype);
  expect_norm(norm, geometry);
  expect_tensor("sums", sums, {2, geometry.k}, DType::f32);
  context_->make_current();
  if (geometry.n == 0) return sums.fill_zero();
  convolutions_.forward_normal(geometry, x.raw(), norm, w.raw(), y.raw(), sums.data<float>());
}

void CudaBackend::conv_backward_data_masked(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w,
                                            const OutputMask& mask, const Tensor& dx) {
  expect_possible(geometry);
  expect_arrays(ConvPass::backward_data, geometry, dx, w, dy, geometry.dtype);
  expect_mask(mask, geometry);
  context_->make_current();
  if (geometry.n) return convolutions_.backward_data_masked(geometry, dy.raw(), w.raw(), mask, dx.raw());
  for (const Tensor& sums : {mask.main.sums, mask.shortcut.sums})
    if (sums.defined()) sums.fill_zero();
}

void CudaBackend::conv_backward_weight_normal(const ConvGeometry& geometry, const Tensor& x, const InputNorm& norm,
                                              const Tensor& dy, const Tensor& dw, GradMode mode) {
  if (geometry.n == 0) return conv_backward_weight(geometry, x, dy, dw, mode);
  expect_possible(geometry);
  expect_arrays(ConvPass::backward_weight, geometry, x, dw, dy, geometry.dtype);
  expect_norm(norm, geometry);
  SWATH_CHECK(!norm.residual.defined(), "a weight gradient takes no residual");
  context_->make_current();
  convolutions_.backward_weight(geometry, x.raw(), norm, dy.raw(), dw, mode);
}

void CudaBackend::gemm(const Gemm& gemm) {
  context_->make_current();
  products_.multiply(gemm, {});
}

void CudaBackend::gemm_strided_batched(const Gemm& first, std::int64_t count, std::int64_t stride_a, std::int64_t stride_b,
                                       std::int64_t stride_c) {
  context_->make_current();
  products_.multiply(first, {.count = count, .stride_a = stride_a, .stride_b = stride_b, .stride_c = stride_c});
}

void CudaBackend::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  context_->make_current();
  SWATH_CUDA_CALL(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, context_->stream()));
  context_->after_call("copy");
}

void CudaBackend::fill_zero(void* to, std::size_t bytes) {
  if (bytes == 0) return;
  context_->make_current();
  SWATH_CUDA_CALL(cudaMemsetAsync(to, 0, bytes, context_->stream()));
  context_->after_call("fill");
}

void CudaBackend::copy_from_host(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  // It would be read again at every replay, long after the caller reused it.
  refuse_while_capturing("a copy from host memory");
  context_->make_current();
  SWATH_CUDA_CALL(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, context_->stream()));
  // Pageable memory has been read when the call returns; page-locked memory is read when the stream gets there.
  cudaPointerAttributes attributes{};
  SWATH_CUDA_CALL(cudaPointerGetAttributes(&attributes, from));
  if (attributes.type != cudaMemoryTypeUnregistered) context_->synchronize();
  context_->after_call("copy from the host");
}

void CudaBackend::copy_to_host(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  refuse_while_capturing("a copy to host memory");
  context_->make_current();
  SWATH_CUDA_CALL(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, context_->stream()));
  context_->synchronize();
}

void CudaBackend::refuse_while_capturing(const char* what) const {
  if (capturing_) throw InternalError(fmt::format("{} cannot be part of a graph", what));
}

void CudaBackend::synchronize() {
  refuse_while_capturing("waiting for the device");
  context_->synchronize();
}

std::unique_ptr<HostCopies> CudaBackend::host_copies() { return std::make_unique<CopyStream>(context_); }

std::shared_ptr<Allocator> CudaBackend::host_allocator() { return std::make_shared<PageLockedAllocator>(context_); }

bool CudaBackend::captures() const { return !context_->waits_after_calls(); }

std::unique_ptr<DeviceGraph> CudaBackend::capture(const std::function<void()>& work) {
  if (!captures()) return nullptr;
  refuse_while_capturing("another capture");
  std::vector<std::shared_ptr<const void>> plans;
  const auto finish = [this](void*) {
    capturing_ = false;
    convolutions_.keep_plans(nullptr);
  };
  const std::unique_ptr<void, decltype(finish)> restore(this, finish);
  capturing_ = true;
  convolutions_.keep_plans(&plans);
  cudaGraph_t const recorded = record(*context_, work);
  return std::make_unique<Graph>(context_, recorded, std::move(plans));
}

MemoryInfo CudaBackend::memory_info() const {
  context_->make_current();
  MemoryInfo info;
  SWATH_CUDA_CALL(cudaMemGetInfo(&info.free, &info.total));
  return info;
}

std::vector<std::string> CudaBackend::versions() const {
  int driver = 0, runtime = 0;
  SWATH_CUDA_CALL(cudaDriverGetVersion(&driver));
  SWATH_CUDA_CALL(cudaRuntimeGetVersion(&runtime));
  const cudaDeviceProp& device = context_->properties();
  return {fmt::format("cuda:{} {}, compute capability {}.{}, {} multiprocessors, {:.1f} GiB", context_->index(), device.name,
                      device.major, device.minor, device.multiProcessorCount,
                      static_cast<double>(device.totalGlobalMem) / (1024.0 * 1024.0 * 1024.0)),
          fmt::format("driver {}.{}", driver / 1000, driver % 1000 / 10),
          fmt::format("cudart {}.{}", runtime / 1000, runtime % 1000 / 10), fmt::format("cudnn {}", cudnnGetVersion()),
          fmt::format("cublas {}", cublasLtGetVersion())};
}

}  // namespace swath::cuda
