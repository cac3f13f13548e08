#include "engine/device/device.h"

#include <charconv>

#include "engine/core/error.h"
#include "engine/device/cpu/allocator.h"
#include "engine/device/cpu/cpu_backend.h"
#include "engine/device/step_ledger.h"

namespace swath {

namespace {

// The index of "cuda" or "cuda:N"; -1 for any other name.
int cuda_index(const std::string& name) {
  if (name == "cuda") return 0;
  const std::string prefix = "cuda:";
  if (!name.starts_with(prefix)) return -1;
  int index = -1;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, index);
  return error == std::errc() && stop == end ? index : -1;
}

}  // namespace

std::unique_ptr<Device> open_cpu(DeviceOptions options) {
  if (options.conv_pipeline)
    throw UserError("conv_pipeline=on takes a GPU of compute capability 9.0 or later, not the CPU; set conv_pipeline=off");
  if (!options.autotune.empty())
    throw UserError(
        fmt::format("autotune={} times cuDNN's engines on a GPU, and the CPU has none; leave autotune out", options.autotune));
  std::unique_ptr<Device> device(new Device);
  device->kind_ = DeviceKind::cpu;
  device->name_ = "cpu";
  if (!options.allocator) options.allocator = std::make_shared<cpu::HostAllocator>();
  device->pool_ = std::make_shared<StoragePool>(std::move(options.allocator));
  device->backend_ = std::make_unique<cpu::CpuBackend>(device->pool_);
  return device;
}

std::unique_ptr<Device> Device::open(const std::string& name, DeviceOptions options) {
  if (name == "cpu") return open_cpu(std::move(options));
  const int index = cuda_index(name);
  if (index < 0) throw UserError(fmt::format("there is no device \"{}\"; use cpu, cuda or cuda:N", name));
#if SWATH_WITH_CUDA
  return open_cuda(index, std::move(options));
#else
  throw DeviceError(
      fmt::format("this build has no CUDA, so {} cannot be used; use cpu, or configure with -DSWATH_CUDA=ON", name));
#endif
}

std::uint32_t* Device::counters(std::int64_t count) const {
  if (!counters_) return nullptr;
  SWATH_CHECK(static_cast<std::size_t>(count) * sizeof(std::uint32_t) <= counters_->bytes(), "{} counters", count);
  return static_cast<std::uint32_t*>(counters_->data());
}

kernels::DryRun Device::dry_executor() const { return {ledger_}; }

bool Device::cuda_available() {
#if SWATH_WITH_CUDA
  return cuda_device_count() > 0;
#else
  return false;
#endif
}

}  // namespace swath
