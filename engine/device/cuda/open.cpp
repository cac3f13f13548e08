// Device::open for CUDA, and what Device asks of its CUDA side around a launch.
#include <cxxabi.h>

#include <cstdlib>

#include "engine/device/cuda/allocator.h"
#include "engine/device/cuda/cuda_backend.h"
#include "engine/device/device.h"
#include "kernels/launch.cuh"

namespace swath {

namespace {

constexpr std::size_t kCounterBytes = 4096;  // one counter per 64 channels

}  // namespace

std::unique_ptr<Device> open_cuda(int index, DeviceOptions options) {
  const auto context = std::make_shared<const cuda::Context>(index, static_cast<cudaStream_t>(options.stream));
  if (const cudaDeviceProp& of = context->properties(); options.conv_pipeline && of.major < 9)
    throw UserError(
        fmt::format("conv_pipeline=on takes a GPU of compute capability 9.0 or later, and cuda:{} has {}.{}; set "
                    "conv_pipeline=off",
                    index, of.major, of.minor));
  if (!options.allocator) options.allocator = std::make_shared<cuda::DeviceAllocator>(context);
  std::unique_ptr<Device> device(new Device);
  device->kind_ = DeviceKind::cuda;
  device->name_ = fmt::format("cuda:{}", index);
  device->stream_ = context->stream();
  device->pool_ = std::make_shared<StoragePool>(std::move(options.allocator));
  device->backend_ = std::make_unique<cuda::CudaBackend>(context, device->pool_, options);
  device->counters_ = std::make_unique<Storage>(device->pool_, kCounterBytes, Tag::workspace);
  device->backend_->fill_zero(device->counters_->data(), kCounterBytes);
  return device;
}

int cuda_device_count() { return cuda::device_count(); }

void Device::make_current() const { static_cast<const cuda::CudaBackend&>(*backend_).context().make_current(); }

void Device::after_launch() const {
  const cuda::Context& context = static_cast<const cuda::CudaBackend&>(*backend_).context();
  if (!context.waits_after_calls()) return;
  const char* const mangled = kernels::kernel_name(kernels::last_kernel);
  const std::unique_ptr<char, void (*)(void*)> plain(abi::__cxa_demangle(mangled, nullptr, nullptr, nullptr), std::free);
  context.after_call(plain ? plain.get() : mangled);
}

}  // namespace swath
