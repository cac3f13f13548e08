// The most that a device can move and compute: what times are compared with.
#pragma once
#include <string>

#include "engine/device/device.h"

namespace swath::bench {

/// Per second. A peak of 0 is unknown.
struct Peaks {
  double bandwidth = 0;  // bytes
  double flops = 0;      // float32 operations
  std::string bandwidth_source, flops_source;
};

/// CPU: measured now, in about two seconds: a triad a = b + s·c over three arrays of 64 MiB (its three arrays counted), and a
/// loop of independent fused multiply-adds, on all threads of OpenMP. CUDA: from the device's properties.
Peaks peaks_of(Device& device);
#if SWATH_WITH_CUDA
Peaks cuda_peaks(Device& device);
std::string cuda_device_title(Device& device);
#endif

/// Processor or GPU by its own name; "cpu" where the system does not tell.
std::string device_title(Device& device);
/// Threads that the CPU kernels use.
int cpu_threads();

}  // namespace swath::bench
