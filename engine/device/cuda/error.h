// Status codes of CUDA, cuBLAS and cuDNN turned into errors that name expression, file and line.
#pragma once
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include "engine/core/error.h"

namespace swath::cuda {

/// Do nothing on success. Memory exhausted: DeviceError. Anything else: InternalError.
void check(cudaError_t status, const char* expression, const char* file, int line);
void check(cublasStatus_t status, const char* expression, const char* file, int line);
void check(cudnnStatus_t status, const char* expression, const char* file, int line);

/// For destructors: writes a failure to the log. Silent while the process is ending.
void log_failure(cudaError_t status, const char* expression) noexcept;

}  // namespace swath::cuda

/// Calls a function of CUDA, cuBLAS or cuDNN and throws when it fails.
#define SWATH_CUDA_CALL(expression) ::swath::cuda::check((expression), #expression, __FILE__, __LINE__)
