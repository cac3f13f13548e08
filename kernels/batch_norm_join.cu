// Batch normalisation over slices on CUDA (methods.md §2): a thread per channel joins moments; each thread of the correction
// keeps the coefficients of one channel and walks over rows.
#include <algorithm>

#include "kernels/batch_norm_join_terms.h"
#include "kernels/dispatch.h"
#include "kernels/launch.cuh"

namespace swath::kernels {
namespace {

constexpr int kThreads = 128;
constexpr std::int64_t kRowsOfABlock = 32;

__global__ void __launch_bounds__(kThreads) join_kernel(BatchNormJoinArgs p, RowSlices slices) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (c < p.channels) join_channel(p, slices, c);
}

template <class T>
__global__ void __launch_bounds__(kThreads) correct_kernel(BatchNormJoinBackwardArgs p) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (c >= p.channels) return;
  const JoinCorrection of = join_correction(p, c);
  for (std::int64_t r = blockIdx.y; r < p.rows; r += gridDim.y) {
    const std::int64_t i = r * p.channels + c;
    T* d_x = static_cast<T*>(p.d_x) + i;
    const float x = to_float(static_cast<const T*>(p.main.x)[i]);
    *d_x = from_float<T>(to_float(*d_x) + (of.constant + (x - of.mean) * of.linear));
  }
}

unsigned channel_blocks(std::int64_t channels) { return static_cast<unsigned>(ceil_div(channels, kThreads)); }

}  // namespace

void batch_norm_join(const BatchNormJoinArgs& p, CudaStream exec) {
  if (p.channels == 0) return;
  launch(join_kernel, channel_blocks(p.channels), kThreads, 0, exec, p, row_slices(p.images, p.slices));
}

void batch_norm_join_backward(const BatchNormJoinBackwardArgs& p, CudaStream exec) {
  if (p.rows == 0 || p.channels == 0) return;
  const std::int64_t blocks = std::min<std::int64_t>(ceil_div(p.rows, kRowsOfABlock), 65535);
  const dim3 grid{channel_blocks(p.channels), static_cast<unsigned>(blocks)};
  with_element(p.dtype, [&](auto element) { launch(correct_kernel<decltype(element)>, grid, kThreads, 0, exec, p); });
}

}  // namespace swath::kernels
