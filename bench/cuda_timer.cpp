// Times by events on the device's stream, and the peaks that a device states.
#include <cuda_runtime.h>

#include "bench/measure.h"
#include "bench/peaks.h"
#include "kernels/launch.cuh"

namespace swath::bench {

namespace {

/// Of the current device.
int attribute(cudaDeviceAttr which) {
  int index = 0, value = 0;
  kernels::check_cuda(cudaGetDevice(&index), "cudaGetDevice");
  kernels::check_cuda(cudaDeviceGetAttribute(&value, which, index), "cudaDeviceGetAttribute");
  return value;
}

void make_current(Device& device) {
  device.run([](auto) {});
}

class CudaTimer : public Timer {
 public:
  explicit CudaTimer(Device& device) : device_(device), stream_(static_cast<cudaStream_t>(device.stream())) {
    make_current(device);
    kernels::check_cuda(cudaEventCreate(&begin_), "cudaEventCreate");
    kernels::check_cuda(cudaEventCreate(&end_), "cudaEventCreate");
    const int cache = attribute(cudaDevAttrL2CacheSize);
    evictor_bytes_ = 2 * static_cast<std::size_t>(cache > 0 ? cache : 64 << 20);
  }
  ~CudaTimer() override {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }

  double time(const std::function<void()>& call, std::int64_t calls) override {
    kernels::check_cuda(cudaEventRecord(begin_, stream_), "cudaEventRecord");
    for (std::int64_t i = 0; i < calls; ++i) call();
    kernels::check_cuda(cudaEventRecord(end_, stream_), "cudaEventRecord");
    kernels::check_cuda(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0;
    kernels::check_cuda(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e-3;
  }

  /// The memset runs while the host queues what follows, so that the time of a cold sample is not that of launching.
  void flush() override {
    if (!evictor_.defined())
      evictor_ = Tensor::empty(device_, {static_cast<std::int64_t>(evictor_bytes_)}, DType::u8, Tag::other);
    kernels::check_cuda(cudaMemsetAsync(evictor_.raw(), 0, evictor_bytes_, stream_), "cudaMemsetAsync");
  }

 private:
  Device& device_;
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  std::size_t evictor_bytes_ = 0;
  Tensor evictor_;
};

}  // namespace

std::unique_ptr<Timer> make_cuda_timer(Device& device) { return std::make_unique<CudaTimer>(device); }

Peaks cuda_peaks(Device& device) {
  make_current(device);
  const int major = attribute(cudaDevAttrComputeCapabilityMajor), minor = attribute(cudaDevAttrComputeCapabilityMinor);
  const double lanes = major == 8 && minor == 0 ? 64 : 128;  // float32 units of a multiprocessor
  const double clock = 1e3 * attribute(cudaDevAttrClockRate), memory_clock = 1e3 * attribute(cudaDevAttrMemoryClockRate);
  // Two transfers a cycle, two operations in a fused multiply-add.
  return {.bandwidth = 2 * memory_clock * attribute(cudaDevAttrGlobalMemoryBusWidth) / 8,
          .flops = 2 * lanes * clock * attribute(cudaDevAttrMultiProcessorCount),
          .bandwidth_source = "memory clock x bus width of the device",
          .flops_source = "clock x float32 units of the device"};
}

std::string cuda_device_title(Device& device) {
  make_current(device);
  int index = 0;
  cudaDeviceProp properties{};
  kernels::check_cuda(cudaGetDevice(&index), "cudaGetDevice");
  kernels::check_cuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  return properties.name;
}

}  // namespace swath::bench
