// One CUDA device as the backend, its allocator and its plans share it: index, stream, properties.
#pragma once
#include <cuda_runtime.h>

#include <memory>
#include <string>

namespace swath::cuda {

/// Owns the stream unless the application brought one. Shared, because memory and plans may outlive the Device object.
class Context {
 public:
  /// Throws DeviceError, in one sentence with the remedy, when the device, a driver new enough, or code for the device
  /// is missing. `stream` is null or an existing stream of that device.
  Context(int index, cudaStream_t stream);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int index() const { return index_; }
  cudaStream_t stream() const { return stream_; }
  const cudaDeviceProp& properties() const { return properties_; }

  /// Makes the device current for the calling thread.
  void make_current() const;
  void synchronize() const;
  /// Whether SWATH_SYNC=1.
  bool waits_after_calls() const { return sync_; }
  /// After work named `what` was queued: with SWATH_SYNC=1 waits for it, so that a failure names it.
  void after_call(const char* what) const;

 private:
  int index_;
  cudaStream_t stream_;
  bool owns_stream_;
  bool sync_;
  cudaDeviceProp properties_{};
};

/// Devices this process can use; 0 when there is no driver.
int device_count();

/// Whether this program holds code that the current device can run: cudaSuccess or the reason why not.
cudaError_t kernel_image_status();

}  // namespace swath::cuda
