// A ring of per-step scalars, on CUDA: one warp.
#include "kernels/launch.cuh"
#include "kernels/statistics.h"

namespace swath::kernels {
namespace {

__global__ void push_statistics_kernel(PushStatisticsArgs args) {
  const std::uint64_t step = *args.step;
  const std::int64_t row = static_cast<std::int64_t>(step % static_cast<std::uint64_t>(args.capacity));
  // Unrolled, so that every argument is read at a fixed place instead of from a local copy.
#pragma unroll
  for (int i = 0; i < kStatisticsWidth; ++i) {
    if (threadIdx.x != i) continue;
    const float count = args.counts[i] ? static_cast<float>(*args.counts[i]) : 0.0f;
    args.ring[row * kStatisticsWidth + i] = args.values[i] ? *args.values[i] : count;
  }
  if (threadIdx.x == 0 && args.ring_step) args.ring_step[row] = step;
}

}  // namespace

void push_statistics(const PushStatisticsArgs& args, CudaStream exec) {
  if (args.capacity <= 0) return;
  launch(push_statistics_kernel, 1, 32, 0, exec, args);
}

}  // namespace swath::kernels
