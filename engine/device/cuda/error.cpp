// Status codes of CUDA, cuBLAS and cuDNN as errors.
#include "engine/device/cuda/error.h"

#include "engine/core/log.h"

namespace swath::cuda {

namespace {

[[noreturn]] void fail(const std::string& what, const char* expression, const char* file, int line) {
  throw InternalError(fmt::format("{}:{}: {} failed: {}", file, line, expression, what));
}

}  // namespace

void check(cudaError_t status, const char* expression, const char* file, int line) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // A failed call must not be reported again by the next launch.
  if (status == cudaErrorMemoryAllocation)
    throw DeviceError(fmt::format("the CUDA device has no memory left ({}); a smaller batch would fit", expression));
  fail(fmt::format("{}, {}", cudaGetErrorName(status), cudaGetErrorString(status)), expression, file, line);
}

void check(cublasStatus_t status, const char* expression, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  if (status == CUBLAS_STATUS_ALLOC_FAILED)
    throw DeviceError(fmt::format("cuBLAS found no memory left on the device ({}); a smaller batch would fit", expression));
  fail(fmt::format("{}, {}", cublasGetStatusName(status), cublasGetStatusString(status)), expression, file, line);
}

void check(cudnnStatus_t status, const char* expression, const char* file, int line) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  if (status == CUDNN_STATUS_ALLOC_FAILED)
    throw DeviceError(fmt::format("cuDNN found no memory left on the device ({}); a smaller batch would fit", expression));
  char detail[512] = "";
  cudnnGetLastErrorString(detail, sizeof detail);
  fail(fmt::format("{}, {}", cudnnGetErrorString(status), detail), expression, file, line);
}

void log_failure(cudaError_t status, const char* expression) noexcept {
  if (status == cudaSuccess || status == cudaErrorCudartUnloading) return;
  cudaGetLastError();
  try {
    log::warn("{} failed: {}, {}", expression, cudaGetErrorName(status), cudaGetErrorString(status));
  } catch (...) {
  }
}

}  // namespace swath::cuda
