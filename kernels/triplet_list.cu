// The list of triplets out of one pair of partners per anchor, on CUDA: one block. methods.md §5.
#include "kernels/launch.cuh"
#include "kernels/match_list.cuh"
#include "kernels/row_search.cuh"
#include "kernels/triplet_list.h"

namespace swath::kernels {
namespace {

constexpr int kBlock = 512;

__global__ void __launch_bounds__(kBlock) triplet_list_kernel(TripletListArgs args) {
  __shared__ MatchList<kBlock> matches;
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  std::int64_t count = 0;
  for (std::int64_t i0 = 0; i0 < used; i0 += kBlock) {
    const std::int64_t i = i0 + threadIdx.x;
    const int found = matches.collect(i < used && args.partners[2 * i] >= 0);
    if (static_cast<int>(threadIdx.x) < found) {
      const std::int64_t anchor = i0 + matches.thread[threadIdx.x];
      std::int32_t* triplet = args.triplets + 3 * (count + threadIdx.x);
      triplet[0] = static_cast<std::int32_t>(anchor);
      triplet[1] = args.partners[2 * anchor];
      triplet[2] = args.partners[2 * anchor + 1];
    }
    count += found;
  }
  for (std::int64_t k = 3 * count + threadIdx.x; k < 3 * args.rows; k += kBlock) args.triplets[k] = -1;
  if (threadIdx.x == 0) *args.triplet_count = static_cast<std::int32_t>(count);
}

}  // namespace

void triplet_list(const TripletListArgs& args, CudaStream exec) { launch(triplet_list_kernel, 1, kBlock, 0, exec, args); }

}  // namespace swath::kernels
