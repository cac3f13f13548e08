// A random permutation of the labels over the rows, on CUDA: a warp counts which place a row takes. methods.md §5.
#include "kernels/launch.cuh"
#include "kernels/permute_labels.h"
#include "kernels/permute_labels_key.h"
#include "kernels/row_search.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / kWarp;
constexpr int kTile = 1024;  // rows whose keys are in shared memory

/// How many of the rows with a class come before row `row`, which has the key `own`. Every thread of the block calls this; a
/// warp counts for its own row.
__device__ std::uint32_t rank_of(const PermuteLabelsArgs& args, std::int64_t used, std::int64_t row, std::uint64_t own,
                                 std::uint64_t (&keys)[kTile]) {
  std::uint32_t before = 0;
  for (std::int64_t first = 0; first < used; first += kTile) {
    const std::int64_t count = used - first < kTile ? used - first : kTile;
    __syncthreads();
    for (std::int64_t k = threadIdx.x; k < count; k += kBlock) {
      // Rows without a class have the largest key, which is below none, and are no ties either.
      keys[k] = args.row_class[first + k] >= 0 ? permutation_key(args.seed, *args.step, first + k) : ~std::uint64_t{0};
    }
    __syncthreads();
    for (std::int64_t k = threadIdx.x % kWarp; k < count; k += kWarp) {
      const bool tie = keys[k] == own && first + k < row && args.row_class[first + k] >= 0;
      before += keys[k] < own || tie ? 1 : 0;
    }
  }
  return warp_reduce(before, SumOp{});
}

/// The row with this rank among those that have a class, for the whole warp.
__device__ std::int64_t row_at(const PermuteLabelsArgs& args, std::int64_t used, std::uint32_t rank) {
  for (std::int64_t begin = 0; begin < used; begin += kWarp) {
    const std::int64_t j = begin + threadIdx.x % kWarp;
    const int lane = find_lane(j < used && args.row_class[j] >= 0, rank);
    if (lane >= 0) return begin + lane;
  }
  return 0;
}

__global__ void __launch_bounds__(kBlock) permute_labels_kernel(PermuteLabelsArgs args) {
  __shared__ std::uint64_t keys[kTile];
  const std::int64_t used = rows_in_use(args.row_count, args.rows), stride = static_cast<std::int64_t>(gridDim.x) * kWarps;
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kWarps; first < args.rows; first += stride) {
    const std::int64_t row = first + threadIdx.x / kWarp;
    const bool member = row < used && args.row_class[row] >= 0;
    const std::uint64_t own = member ? permutation_key(args.seed, *args.step, row) : 0;
    const std::uint32_t rank = rank_of(args, used, row, own, keys);
    const std::int64_t target = member ? row_at(args, used, rank) : row;
    if (threadIdx.x % kWarp == 0 && row < args.rows) args.permuted[target] = member ? args.row_class[row] : -1;
  }
}

}  // namespace

void permute_labels(const PermuteLabelsArgs& args, CudaStream exec) {
  if (args.rows == 0) return;
  launch(permute_labels_kernel, grid_for(args.rows, kWarps), kBlock, 0, exec, args);
}

}  // namespace swath::kernels
