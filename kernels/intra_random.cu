// Triplets of three random rows of one random class, on CUDA: a warp finds a row's place in the order by class, then one block
// lists the classes and draws. methods.md §5.
#include "kernels/intra_random.h"
#include "kernels/intra_random_draw.h"
#include "kernels/launch.cuh"
#include "kernels/match_list.cuh"
#include "kernels/row_search.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 128;
constexpr int kWarps = kBlock / kWarp;
constexpr int kDrawBlock = 1024;

/// Rows without a class come behind all others.
__device__ std::uint32_t sort_key(const IntraRandomArgs& args, std::int64_t row) {
  return static_cast<std::uint32_t>(args.row_class[row]);
}

__global__ void __launch_bounds__(kBlock) order_kernel(IntraRandomArgs args) {
  const std::int64_t used = rows_in_use(args.row_count, args.rows), stride = static_cast<std::int64_t>(gridDim.x) * kWarps;
  auto* order = static_cast<std::int32_t*>(args.workspace);
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < used; i += stride) {
    const std::uint32_t own = sort_key(args, i);
    std::uint32_t before = 0;
    for (std::int64_t j = threadIdx.x % kWarp; j < used; j += kWarp) {
      const std::uint32_t other = sort_key(args, j);
      before += other < own || (other == own && j < i) ? 1 : 0;
    }
    before = warp_reduce(before, SumOp{});
    if (threadIdx.x % kWarp == 0) order[before] = static_cast<std::int32_t>(i);
  }
}

__global__ void __launch_bounds__(kDrawBlock) draw_kernel(IntraRandomArgs args) {
  __shared__ MatchList<kDrawBlock> matches;
  __shared__ int member_count;
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  const auto* order = static_cast<const std::int32_t*>(args.workspace);
  std::int32_t* class_begin = static_cast<std::int32_t*>(args.workspace) + args.rows;
  std::uint32_t classes = 0;
  if (threadIdx.x == 0) member_count = static_cast<int>(used);
  __syncthreads();
  for (std::int64_t first = 0; first < used; first += kDrawBlock) {
    const std::int64_t place = first + threadIdx.x;
    const std::int32_t own = place < used ? args.row_class[order[place]] : -1;
    const std::int32_t previous = place < used && place > 0 ? args.row_class[order[place - 1]] : -1;
    if (place < used && own < 0 && (place == 0 || previous >= 0)) member_count = static_cast<int>(place);
    const int found = matches.collect(own >= 0 && own != previous);
    if (static_cast<int>(threadIdx.x) < found) {
      class_begin[classes + threadIdx.x] = static_cast<std::int32_t>(first) + matches.thread[threadIdx.x];
    }
    classes += static_cast<std::uint32_t>(found);
  }
  __syncthreads();
  const std::int32_t members = member_count;
  for (std::int64_t t = threadIdx.x; t < members; t += kDrawBlock) {
    draw_intra_random(args, t, class_begin, classes, members, [order](std::uint32_t place) { return order[place]; });
  }
  for (std::int64_t k = 3 * std::int64_t{members} + threadIdx.x; k < 3 * args.rows; k += kDrawBlock) args.triplets[k] = -1;
  if (threadIdx.x == 0) *args.triplet_count = members;
}

}  // namespace

void intra_random(const IntraRandomArgs& args, CudaStream exec) {
  if (args.rows > 0) launch(order_kernel, grid_for(args.rows, kWarps), kBlock, 0, exec, args);
  launch(draw_kernel, 1, kDrawBlock, 0, exec, args);
}

}  // namespace swath::kernels
