// What a program says when the driver, the device or its code is missing. This program answers the runtime's questions itself,
// so that each case is met without a device.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "engine/device/device.h"

namespace {

struct Answers {
  cudaError_t count = cudaSuccess;
  int devices = 1, driver = 13000;
  cudaError_t image = cudaSuccess;
};
Answers answers;

}  // namespace

extern "C" {
cudaError_t CUDARTAPI cudaGetDeviceCount(int* count) {
  *count = answers.devices;
  return answers.count;
}
cudaError_t CUDARTAPI cudaDriverGetVersion(int* version) {
  *version = answers.driver;
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaSetDevice(int) { return cudaSuccess; }
cudaError_t CUDARTAPI cudaGetLastError() { return cudaSuccess; }
cudaError_t CUDARTAPI cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "Old GPU");
  properties->major = 6;
  properties->minor = 1;
  return cudaSuccess;
}
cudaError_t CUDARTAPI cudaFuncGetAttributes(cudaFuncAttributes*, const void*) { return answers.image; }
}

namespace swath {
namespace {

std::string refusal(const Answers& given, const std::string& device = "cuda:0") {
  answers = given;
  try {
    Device::open(device);
  } catch (const DeviceError& problem) {
    return problem.what();
  }
  return "opened";
}

TEST(CudaRefusals, NoDriver) {
  EXPECT_EQ(refusal({.count = cudaErrorInsufficientDriver, .driver = 0}),
            "no NVIDIA driver is installed; install one or use device \"cpu\"");
}

TEST(CudaRefusals, AnOldDriver) {
  EXPECT_EQ(refusal({.count = cudaErrorInsufficientDriver, .driver = 11040}),
            fmt::format("the NVIDIA driver supports CUDA 11.4 and this build needs CUDA {}.{}; install a newer driver",
                        CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10));
}

TEST(CudaRefusals, NoDevice) {
  const std::string said = "no CUDA device is visible; look at nvidia-smi and CUDA_VISIBLE_DEVICES, or use device \"cpu\"";
  EXPECT_EQ(refusal({.count = cudaErrorNoDevice, .devices = 0}), said);
  EXPECT_EQ(refusal({.devices = 0}), said);
}

TEST(CudaRefusals, ADeviceBeyondTheLast) {
  EXPECT_EQ(refusal({.devices = 2}, "cuda:2"), "there is no device cuda:2; the last one is cuda:1");
}

TEST(CudaRefusals, NoCodeForTheArchitecture) {
  for (const cudaError_t image :
       {cudaErrorNoKernelImageForDevice, cudaErrorInvalidDeviceFunction, cudaErrorUnsupportedPtxVersion})
    EXPECT_EQ(refusal({.image = image}),
              "this build has no code for Old GPU (compute capability 6.1); configure with -DCMAKE_CUDA_ARCHITECTURES=61");
}

}  // namespace
}  // namespace swath
