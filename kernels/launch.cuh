// Kernel launches whose arguments and status are checked, and helpers every .cu file shares.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "kernels/exec.h"

namespace swath::kernels {

/// Thrown when the CUDA runtime refuses a launch; `status` is its cudaError_t.
class CudaLaunchError : public std::runtime_error {
 public:
  CudaLaunchError(cudaError_t code, const char* what_failed)
      : std::runtime_error(std::string(what_failed) + ": " + cudaGetErrorName(code) + ", " + cudaGetErrorString(code)),
        status(code) {}
  cudaError_t status;
};

inline void check_cuda(cudaError_t status, const char* what_failed) {
  if (status != cudaSuccess) throw CudaLaunchError(status, what_failed);
}

/// The kernel that this thread queued last: a failure that shows later can name it.
inline thread_local const void* last_kernel = nullptr;

/// The (mangled) name of a kernel.
inline const char* kernel_name(const void* kernel) {
  const char* name = nullptr;
  return kernel && cudaFuncGetName(&name, kernel) == cudaSuccess ? name : "a kernel";
}

inline cudaStream_t stream_of(CudaStream exec) { return static_cast<cudaStream_t>(exec.stream); }

/// Queues `kernel` on `exec`. Arguments convert to the kernel's own parameter types, so a wrong type cannot be passed.
template <class... Params>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes, CudaStream exec,
            std::type_identity_t<Params>... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream_of(exec);
  last_kernel = reinterpret_cast<const void*>(kernel);
  const cudaError_t status = cudaLaunchKernelEx(&config, kernel, args...);
  if (status != cudaSuccess) throw CudaLaunchError(status, kernel_name(last_kernel));
}

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Blocks of a grid-stride loop over n elements: enough to fill a large device, never zero.
inline unsigned grid_for(std::int64_t n, int block, std::int64_t max_blocks = 132 * 16) {
  const std::int64_t blocks = ceil_div(n, block);
  return static_cast<unsigned>(blocks < 1 ? 1 : (blocks > max_blocks ? max_blocks : blocks));
}

}  // namespace swath::kernels
