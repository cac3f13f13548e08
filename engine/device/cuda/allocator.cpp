// Blocks of device memory for the storage pool (cudaMalloc, cudaFree).
#include "engine/device/cuda/allocator.h"

#include "engine/device/cuda/error.h"

namespace swath::cuda {

void* DeviceAllocator::allocate(std::size_t bytes) {
  context_->make_current();
  void* pointer = nullptr;
  SWATH_CUDA_CALL(cudaMalloc(&pointer, bytes));
  return pointer;
}

void DeviceAllocator::deallocate(void* pointer, std::size_t) noexcept {
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

}  // namespace swath::cuda
