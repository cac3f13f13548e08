#include "engine/device/cpu/allocator.h"

#include <sys/mman.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

#include "engine/core/error.h"

namespace swath::cpu {

namespace {

constexpr std::size_t kSmallAlignment = 256;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kMapFrom = std::size_t{1} << 20;
constexpr std::size_t kPage = 4096;

std::size_t rounded(std::size_t bytes, std::size_t step) { return (bytes + step - 1) / step * step; }

// Maps one huge page more than needed and unmaps what lies outside the aligned block.
void* map_aligned(std::size_t bytes) {
  const std::size_t size = rounded(bytes, kPage);
  const std::size_t mapped = size + kHugePage;
  void* const base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<std::uintptr_t>(base);
  const std::uintptr_t aligned = rounded(start, kHugePage);
  if (aligned > start) munmap(base, aligned - start);
  const std::uintptr_t end = aligned + size;
  if (start + mapped > end) munmap(reinterpret_cast<void*>(end), start + mapped - end);
  void* const block = reinterpret_cast<void*>(aligned);
  madvise(block, size, MADV_HUGEPAGE);
  return block;
}

}  // namespace

MemoryInfo system_memory() {
  MemoryInfo info;
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  std::size_t kib = 0;
  while (file >> key >> kib) {
    std::getline(file, unit);
    if (key == "MemTotal:") info.total = kib * 1024;
    if (key == "MemAvailable:") info.free = kib * 1024;
  }
  return info;
}

void* HostAllocator::allocate(std::size_t bytes) {
  void* block = nullptr;
  if (bytes < kMapFrom) {
    block = std::aligned_alloc(kSmallAlignment, rounded(bytes, kSmallAlignment));
  } else if (bytes < std::numeric_limits<std::size_t>::max() - 2 * kHugePage) {
    // The kernel grants more than it has; asking first turns a killed process into an error.
    const MemoryInfo memory = system_memory();
    if (memory.total == 0 || bytes <= memory.free) block = map_aligned(bytes);
  }
  if (!block) throw DeviceError(fmt::format("cpu: {} bytes are not available; use a smaller batch", bytes));
  return block;
}

void HostAllocator::deallocate(void* pointer, std::size_t bytes) noexcept {
  if (bytes < kMapFrom) {
    std::free(pointer);
  } else {
    munmap(pointer, rounded(bytes, kPage));
  }
}

std::size_t HostAllocator::free_bytes() const { return system_memory().free; }

}  // namespace swath::cpu
