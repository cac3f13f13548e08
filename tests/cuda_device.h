// For tests in builds with CUDA: whether the process has a CUDA device, real or simulated.
#pragma once
#include <cuda_runtime.h>
#include <gtest/gtest.h>

namespace swath::testing {

inline bool cuda_device_present() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count > 0;
  cudaGetLastError();
  return false;
}

}  // namespace swath::testing

/// First statement of a case that needs a device. Such a case has "cuda" or "Cuda" in its full name (tests/CMakeLists.txt).
#define SWATH_NEEDS_CUDA_DEVICE() \
  if (!::swath::testing::cuda_device_present()) GTEST_SKIP() << "no CUDA device"
