// A random order of rows, on CUDA: a thread a row counts those before it. methods.md §6.
#include "kernels/launch.cuh"
#include "kernels/shuffle_rows.h"
#include "kernels/shuffle_rows_key.h"

namespace swath::kernels {
namespace {

constexpr int kBlock = 256;

__global__ void __launch_bounds__(kBlock) shuffle_rows_kernel(ShuffleRowsArgs args) {
  __shared__ std::uint64_t keys[kBlock];
  const std::uint64_t step = *args.step;
  for (std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kBlock; begin < args.rows;
       begin += static_cast<std::int64_t>(gridDim.x) * kBlock) {
    const std::int64_t row = begin + threadIdx.x;
    const std::uint64_t own = shuffle_key(args.seed, step, row);
    std::int64_t at = 0;
    for (std::int64_t first = 0; first < args.rows; first += kBlock) {
      __syncthreads();
      keys[threadIdx.x] = shuffle_key(args.seed, step, first + threadIdx.x);
      __syncthreads();
      const int count = static_cast<int>(args.rows - first < kBlock ? args.rows - first : kBlock);
      for (int k = 0; k < count; ++k) at += keys[k] < own || (keys[k] == own && first + k < row) ? 1 : 0;
    }
    if (row >= args.rows) continue;
    if (args.place) args.place[row] = static_cast<std::int32_t>(at);
    if (args.order) args.order[at] = row;
  }
}

}  // namespace

void shuffle_rows(const ShuffleRowsArgs& args, CudaStream exec) {
  if (args.rows == 0) return;
  launch(shuffle_rows_kernel, grid_for(args.rows, kBlock), kBlock, 0, exec, args);
}

}  // namespace swath::kernels
