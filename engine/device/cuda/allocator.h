// Memory of a CUDA device for the storage pool, and page-locked memory of the host.
#pragma once
#include <memory>

#include "engine/core/storage.h"
#include "engine/device/cuda/context.h"

namespace swath::cuda {

class DeviceAllocator final : public Allocator {
 public:
  explicit DeviceAllocator(std::shared_ptr<const Context> context) : context_(std::move(context)) {}
  void* allocate(std::size_t bytes) override;
  void deallocate(void* pointer, std::size_t bytes) noexcept override;
  std::size_t free_bytes() const override;

 private:
  std::shared_ptr<const Context> context_;
};

/// May be used by another thread than the device.
class PageLockedAllocator final : public Allocator {
 public:
  explicit PageLockedAllocator(std::shared_ptr<const Context> context) : context_(std::move(context)) {}
  void* allocate(std::size_t bytes) override;
  void deallocate(void* pointer, std::size_t bytes) noexcept override;

 private:
  std::shared_ptr<const Context> context_;
};

}  // namespace swath::cuda
