// A ring of key rows, on CUDA: a warp a row, then the counter. methods.md §6.
#include "kernels/aligned.cuh"
#include "kernels/launch.cuh"
#include "kernels/queue_push.h"
#include "kernels/reduce.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 128;
constexpr int kWarps = kBlock / kWarp;

__device__ std::int64_t rows_in_use(const QueuePushArgs& args) {
  if (!args.row_count) return args.rows;
  const std::int64_t count = *args.row_count;
  return count < 0 ? 0 : (count < args.rows ? count : args.rows);
}

template <int kWidth>
__global__ void __launch_bounds__(kBlock) queue_push_kernel(QueuePushArgs args) {
  const std::int64_t used = rows_in_use(args), first = used > args.capacity ? used - args.capacity : 0;
  const auto base =
      static_cast<std::int64_t>((*args.pushed + static_cast<std::uint64_t>(first)) % static_cast<std::uint64_t>(args.capacity));
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  for (std::int64_t i = begin; i < used - first; i += static_cast<std::int64_t>(gridDim.x) * kWarps) {
    const std::int64_t slot = base + i < args.capacity ? base + i : base + i - args.capacity;
    const float* key = args.keys + (first + i) * args.keys_ld;
    float* out = args.queue + slot * args.cols;
    for (std::int64_t k = threadIdx.x % kWarp * kWidth; k < args.cols; k += kWarp * kWidth)
      store(out + k, load<kWidth>(key + k));
  }
}

__global__ void advance_kernel(QueuePushArgs args) { *args.pushed += static_cast<std::uint64_t>(rows_in_use(args)); }

}  // namespace

void queue_push(const QueuePushArgs& args, CudaStream exec) {
  if (args.rows == 0) return;
  const bool wide = quads(args.cols, args.keys, args.keys_ld) && quads(args.cols, args.queue, args.cols);
  launch(wide ? queue_push_kernel<4> : queue_push_kernel<1>, grid_for(args.rows, kWarps), kBlock, 0, exec, args);
  launch(advance_kernel, 1, 1, 0, exec, args);
}

}  // namespace swath::kernels
