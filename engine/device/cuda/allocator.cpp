// cudaMalloc and cudaFree for the storage pool; cudaMallocHost and cudaFreeHost for batches.
#include "engine/device/cuda/allocator.h"

#include "engine/device/cuda/error.h"

namespace swath::cuda {

namespace {

/// Memory is not part of what a stream captures: allocating it must not end the capture under way.
class OutsideCapture {
 public:
  OutsideCapture() { exchange(); }
  ~OutsideCapture() { exchange(); }
  OutsideCapture(const OutsideCapture&) = delete;
  OutsideCapture& operator=(const OutsideCapture&) = delete;

 private:
  void exchange() noexcept { log_failure(cudaThreadExchangeStreamCaptureMode(&mode_), "cudaThreadExchangeStreamCaptureMode"); }
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace

void* DeviceAllocator::allocate(std::size_t bytes) {
  context_->make_current();
  const OutsideCapture outside;
  void* pointer = nullptr;
  SWATH_CUDA_CALL(cudaMalloc(&pointer, bytes));
  return pointer;
}

void DeviceAllocator::deallocate(void* pointer, std::size_t) noexcept {
  const OutsideCapture outside;
  log_failure(cudaSetDevice(context_->index()), "cudaSetDevice");
  log_failure(cudaFree(pointer), "cudaFree");
}

std::size_t DeviceAllocator::free_bytes() const {
  std::size_t free = 0, total = 0;
  if (cudaSetDevice(context_->index()) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return free;
}

void* PageLockedAllocator::allocate(std::size_t bytes) {
  context_->make_current();
  const OutsideCapture outside;
  void* pointer = nullptr;
  const cudaError_t status = cudaMallocHost(&pointer, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw DeviceError(fmt::format("the system does not page-lock {:.1f} MiB for batches; use a smaller batch",
                                  static_cast<double>(bytes) / 1048576));
  }
  SWATH_CUDA_CALL(status);
  return pointer;
}

void PageLockedAllocator::deallocate(void* pointer, std::size_t) noexcept {
  log_failure(cudaSetDevice(context_->index()), "cudaSetDevice");
  const OutsideCapture outside;
  log_failure(cudaFreeHost(pointer), "cudaFreeHost");
}

}  // namespace swath::cuda
