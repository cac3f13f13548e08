// Opening a CUDA device: what can be missing is said in one sentence.
#include "engine/device/cuda/context.h"

#include <cstdlib>
#include <string_view>

#include "engine/device/cuda/error.h"

namespace swath::cuda {

namespace {

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

void require_device(int index) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) cudaGetLastError();
  if (status == cudaErrorInsufficientDriver) {
    int driver = 0;
    cudaDriverGetVersion(&driver);
    if (driver == 0) throw DeviceError("no NVIDIA driver is installed; install one or use device \"cpu\"");
    throw DeviceError(fmt::format("the NVIDIA driver supports CUDA {} and this build needs CUDA {}; install a newer driver",
                                  version_text(driver), version_text(CUDART_VERSION)));
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    throw DeviceError("no CUDA device is visible; look at nvidia-smi and CUDA_VISIBLE_DEVICES, or use device \"cpu\"");
  SWATH_CUDA_CALL(status);
  if (index < 0 || index >= count)
    throw DeviceError(fmt::format("there is no device cuda:{}; the last one is cuda:{}", index, count - 1));
}

}  // namespace

Context::Context(int index, cudaStream_t stream) : index_(index), stream_(stream), owns_stream_(stream == nullptr) {
  const char* sync = std::getenv("SWATH_SYNC");
  sync_ = sync && std::string_view(sync) == "1";
  require_device(index);
  make_current();
  SWATH_CUDA_CALL(cudaGetDeviceProperties(&properties_, index));
  const cudaError_t image = kernel_image_status();
  if (image == cudaErrorNoKernelImageForDevice || image == cudaErrorInvalidDeviceFunction ||
      image == cudaErrorUnsupportedPtxVersion) {
    cudaGetLastError();
    throw DeviceError(
        fmt::format("this build has no code for {} (compute capability {}.{}); configure with -DCMAKE_CUDA_ARCHITECTURES={}{}",
                    properties_.name, properties_.major, properties_.minor, properties_.major, properties_.minor));
  }
  SWATH_CUDA_CALL(image);
  if (owns_stream_) SWATH_CUDA_CALL(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
}

Context::~Context() {
  if (owns_stream_) log_failure(cudaStreamDestroy(stream_), "cudaStreamDestroy");
}

void Context::make_current() const { SWATH_CUDA_CALL(cudaSetDevice(index_)); }

void Context::synchronize() const {
  make_current();
  SWATH_CUDA_CALL(cudaStreamSynchronize(stream_));
}

void Context::after_call(const char* what) const {
  if (!sync_) return;
  const cudaError_t status = cudaStreamSynchronize(stream_);
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw InternalError(
      fmt::format("{} failed on cuda:{}: {}, {}", what, index_, cudaGetErrorName(status), cudaGetErrorString(status)));
}

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

}  // namespace swath::cuda
