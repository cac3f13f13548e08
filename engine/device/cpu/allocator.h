// Host memory for the CPU device: aligned, large blocks on huge pages, refused before the system would start killing.
#pragma once
#include "engine/core/storage.h"
#include "engine/device/backend.h"

namespace swath::cpu {

/// Free (MemAvailable) and total memory of the machine in bytes; zeros when /proc/meminfo cannot be read.
MemoryInfo system_memory();

/// Blocks aligned to 256 bytes; from 1 MiB on aligned to 2 MiB and offered to the kernel as huge pages. Throws
/// DeviceError when the system has less memory available than asked.
class HostAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override;
  void deallocate(void* pointer, std::size_t bytes) noexcept override;
  std::size_t free_bytes() const override;
};

}  // namespace swath::cpu
