// One-category rows out of multi-hot images, on CUDA: one block a class. methods.md §1 "pair rows".
#include "kernels/launch.cuh"
#include "kernels/pair_rows.h"
#include "kernels/pair_rows_rank.h"
#include "kernels/reduce.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / kWarp;

struct OrOp {
  __device__ unsigned long long operator()(unsigned long long a, unsigned long long b) const { return a | b; }
};

__device__ bool carries(const PairRowsArgs& args, std::int64_t image, std::int64_t class_index) {
  return (args.labels[image * args.words + class_index / 64] >> (class_index % 64)) & 1u;
}

/// How many classes before `class_index` an image of the batch carries; every thread gets the result.
__device__ std::int64_t classes_before(const PairRowsArgs& args, std::int64_t class_index, unsigned long long* scratch) {
  std::int64_t present = 0;
  for (std::int64_t w = 0; w <= class_index / 64; ++w) {
    unsigned long long any = 0;
    for (std::int64_t i = threadIdx.x; i < args.images; i += kBlock) any |= args.labels[i * args.words + w];
    any = block_reduce(any, OrOp{}, 0ull, scratch);
    const unsigned long long before = w < class_index / 64 ? ~0ull : (1ull << (class_index % 64)) - 1;
    present += __popcll(any & before);
  }
  return present;
}

/// A warp's search for the image with this rank among those of the class.
__device__ std::int32_t member_at(const PairRowsArgs& args, std::int64_t class_index, std::uint32_t rank) {
  const std::uint32_t lane = threadIdx.x % kWarp;
  for (std::int64_t i0 = 0; i0 < args.images; i0 += kWarp) {
    const bool member = i0 + lane < args.images && carries(args, i0 + lane, class_index);
    const unsigned ballot = __ballot_sync(0xffffffffu, member);
    const auto found = static_cast<std::uint32_t>(__popc(ballot));
    if (rank < found) {
      const bool here = member && static_cast<std::uint32_t>(__popc(ballot & ((1u << lane) - 1u))) == rank;
      const unsigned winner = __ballot_sync(0xffffffffu, here);
      return static_cast<std::int32_t>(i0 + __ffs(static_cast<int>(winner)) - 1);
    }
    rank -= found;
  }
  return -1;
}

__global__ void __launch_bounds__(kBlock) pair_rows_kernel(PairRowsArgs args) {
  __shared__ unsigned long long scratch[kWarp + 1];
  const std::int64_t c = blockIdx.x;
  std::int64_t row = 0;
  if (c < args.classes) {
    row = classes_before(args, c, scratch) * args.rows_per_class;
    unsigned long long mine = 0;
    for (std::int64_t i = threadIdx.x; i < args.images; i += kBlock) mine += carries(args, i, c) ? 1u : 0u;
    const auto members = static_cast<std::uint32_t>(block_reduce(mine, SumOp{}, 0ull, scratch));
    if (members > 0) {
      for (std::int64_t j = threadIdx.x / kWarp; j < args.rows_per_class; j += kWarps) {
        const std::uint32_t rank =
            pair_rows_rank(args.seed, *args.step, c, static_cast<std::uint32_t>(j), members, args.rows_per_class);
        const std::int32_t image = member_at(args, c, rank);
        if (threadIdx.x % kWarp == 0) {
          args.row_image[row + j] = image;
          args.row_class[row + j] = static_cast<std::int32_t>(c);
        }
      }
      row += args.rows_per_class;
    }
  }
  if (c + 1 < args.classes) return;
  // The block of the last class knows how many rows are in use and clears the rest.
  if (threadIdx.x == 0) *args.row_count = static_cast<std::int32_t>(row);
  for (std::int64_t r = row + threadIdx.x; r < args.classes * args.rows_per_class; r += kBlock) {
    args.row_image[r] = -1;
    args.row_class[r] = -1;
  }
}

}  // namespace

void pair_rows(const PairRowsArgs& args, CudaStream exec) {
  launch(pair_rows_kernel, static_cast<unsigned>(args.classes > 0 ? args.classes : 1), kBlock, 0, exec, args);
}

}  // namespace swath::kernels
