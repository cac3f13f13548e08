// How many classes two rows share, on CUDA: a block for kRows rows × kBlock other rows, whose masks it keeps in registers a
// word at a time. methods.md §5.
#include "kernels/label_mask.h"
#include "kernels/label_similarity.h"
#include "kernels/launch.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 256;
constexpr int kRows = 16;

__global__ void __launch_bounds__(kBlock) label_similarity_kernel(LabelSimilarityArgs args) {
  const std::int64_t words = label_words(args.classes);
  const std::int64_t i0 = static_cast<std::int64_t>(blockIdx.x) * kRows;
  const std::int64_t j = static_cast<std::int64_t>(blockIdx.y) * kBlock + threadIdx.x;
  if (j < args.other_rows) {
    int common[kRows] = {};
    for (std::int64_t w = 0; w < words; ++w) {
      const std::uint64_t other = args.others[j * words + w] & valid_label_bits(args.classes, w);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (i0 + r < args.rows) common[r] += __popcll(args.labels[(i0 + r) * words + w] & other);
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (i0 + r < args.rows) args.similarity[(i0 + r) * args.other_rows + j] = static_cast<std::uint16_t>(common[r]);
    }
  }
  const std::int64_t i = i0 + threadIdx.x;
  if (!args.label_count || blockIdx.y > 0 || threadIdx.x >= kRows || i >= args.rows) return;
  int count = 0;
  for (std::int64_t w = 0; w < words; ++w) count += __popcll(args.labels[i * words + w] & valid_label_bits(args.classes, w));
  args.label_count[i] = count;
}

}  // namespace

void label_similarity(const LabelSimilarityArgs& args, CudaStream exec) {
  if (args.rows == 0) return;
  const std::int64_t columns = args.other_rows > 0 ? ceil_div(args.other_rows, kBlock) : 1;
  const dim3 grid(static_cast<unsigned>(ceil_div(args.rows, kRows)), static_cast<unsigned>(columns));
  launch(label_similarity_kernel, grid, kBlock, 0, exec, args);
}

}  // namespace swath::kernels
