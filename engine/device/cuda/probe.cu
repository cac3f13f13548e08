// A kernel that does nothing: it exists for a device exactly when the other kernels of this build do.
#include "engine/device/cuda/context.h"

namespace swath::cuda {

namespace {
__global__ void probe() {}
}  // namespace

cudaError_t kernel_image_status() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, probe);
}

}  // namespace swath::cuda
