// Rows picked by index and added back, on CUDA. methods.md §1.
#include "kernels/aligned.cuh"
#include "kernels/gather_rows.h"
#include "kernels/launch.cuh"
#include "kernels/match_list.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 128;

__device__ std::int64_t rows_in_use(const std::int32_t* row_count, std::int64_t rows) {
  if (!row_count) return rows;
  const std::int64_t count = *row_count;
  return count < 0 ? 0 : (count < rows ? count : rows);
}

template <int kWidth>
__global__ void __launch_bounds__(kBlock) gather_rows_kernel(GatherRowsArgs args) {
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  for (std::int64_t r = blockIdx.x; r < args.rows; r += gridDim.x) {
    const std::int64_t from = r < used ? args.index[r] : -1;
    for (std::int64_t k = threadIdx.x * kWidth; k < args.cols; k += kBlock * kWidth) {
      Floats<kWidth> v = {};
      if (from >= 0) v = load<kWidth>(args.x + from * args.x_ld + k);
      store(args.out + r * args.out_ld + k, v);
    }
  }
}

/// One row of x and kBlock × kWidth columns a block: the block finds the rows of d_out that name its row, kBlock at a time and
/// in ascending order, and each thread sums its columns over them.
template <int kWidth>
__global__ void __launch_bounds__(kBlock) scatter_add_rows_kernel(ScatterAddRowsArgs args) {
  __shared__ MatchList<kBlock> matches;
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  const std::int64_t k = (static_cast<std::int64_t>(blockIdx.y) * kBlock + threadIdx.x) * kWidth;
  for (std::int64_t to = blockIdx.x; to < args.x_rows; to += gridDim.x) {
    float* d_x = args.d_x + to * args.d_x_ld + k;
    Floats<kWidth> sum = {};
    if (args.d_x_mode == GradMode::accumulate && k < args.cols) sum = load<kWidth>(d_x);
    for (std::int64_t r0 = 0; r0 < used; r0 += kBlock) {
      const std::int64_t r = r0 + threadIdx.x;
      const int found = matches.collect(r < used && args.index[r] == to);
      for (int m = 0; m < found && k < args.cols; ++m) {
        const Floats<kWidth> v = load<kWidth>(args.d_out + (r0 + matches.thread[m]) * args.d_out_ld + k);
#pragma unroll
        for (int e = 0; e < kWidth; ++e) sum.value[e] += v.value[e];
      }
    }
    if (k < args.cols) store(d_x, sum);
  }
}

constexpr std::int64_t kMaxGridX = 132 * 16;

unsigned row_blocks(std::int64_t rows) { return static_cast<unsigned>(rows < kMaxGridX ? rows : kMaxGridX); }

}  // namespace

void gather_rows(const GatherRowsArgs& args, CudaStream exec) {
  if (args.rows == 0 || args.cols == 0) return;
  const bool wide = quads(args.cols, args.x, args.x_ld) && quads(args.cols, args.out, args.out_ld);
  launch(wide ? gather_rows_kernel<4> : gather_rows_kernel<1>, row_blocks(args.rows), kBlock, 0, exec, args);
}

void scatter_add_rows(const ScatterAddRowsArgs& args, CudaStream exec) {
  if (args.x_rows == 0 || args.cols == 0 || args.d_x_mode == GradMode::skip) return;
  const bool wide = quads(args.cols, args.d_out, args.d_out_ld) && quads(args.cols, args.d_x, args.d_x_ld);
  const dim3 grid(row_blocks(args.x_rows), static_cast<unsigned>(ceil_div(args.cols, kBlock * (wide ? 4 : 1))));
  launch(wide ? scatter_add_rows_kernel<4> : scatter_add_rows_kernel<1>, grid, kBlock, 0, exec, args);
}

}  // namespace swath::kernels
