// Rows scaled to unit length, on CUDA: one warp a row. methods.md §2, §8.
#include "kernels/aligned.cuh"
#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"
#include "kernels/row_normalize.h"

namespace swath::kernels {
namespace {

constexpr int kBlock = 128;
constexpr int kWarps = kBlock / kWarp;

template <int kWidth>
__global__ void __launch_bounds__(kBlock) row_normalize_kernel(RowNormalizeArgs args) {
  const int lane = threadIdx.x % kWarp, cols = static_cast<int>(args.cols);
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kWarps;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < args.rows; i += stride) {
    const float* x = args.x + i * args.x_ld;
    float* y = args.y + i * args.y_ld;
    float squares = 0.0f;
#pragma unroll 2
    for (int k = lane * kWidth; k < cols; k += kWarp * kWidth) {
      const Floats<kWidth> v = load<kWidth>(x + k);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) squares += v.value[e] * v.value[e];
    }
    const float inv_norm = 1.0f / fmaxf(sqrtf(warp_reduce(squares, SumOp{})), kRowNormFloor);
#pragma unroll 2
    for (int k = lane * kWidth; k < cols; k += kWarp * kWidth) {
      Floats<kWidth> v = load<kWidth>(x + k);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) v.value[e] *= inv_norm;
      store(y + k, v);
    }
    if (args.inv_norm && lane == 0) args.inv_norm[i] = inv_norm;
  }
}

template <int kWidth>
__global__ void __launch_bounds__(kBlock) row_normalize_backward_kernel(RowNormalizeBackwardArgs args) {
  const int lane = threadIdx.x % kWarp, cols = static_cast<int>(args.cols);
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kWarps;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < args.rows; i += stride) {
    const float* y = args.y + i * args.y_ld;
    const float* d_y = args.d_y + i * args.d_y_ld;
    float* d_x = args.d_x + i * args.d_x_ld;
    const float inv_norm = args.inv_norm[i];
    float projection = 0.0f;
    if (inv_norm < 1.0f / kRowNormFloor) {
#pragma unroll 2
      for (int k = lane * kWidth; k < cols; k += kWarp * kWidth) {
        const Floats<kWidth> a = load<kWidth>(y + k), b = load<kWidth>(d_y + k);
#pragma unroll
        for (int e = 0; e < kWidth; ++e) projection += a.value[e] * b.value[e];
      }
      projection = warp_reduce(projection, SumOp{});
    }
#pragma unroll 2
    for (int k = lane * kWidth; k < cols; k += kWarp * kWidth) {
      const Floats<kWidth> a = load<kWidth>(y + k), b = load<kWidth>(d_y + k);
      Floats<kWidth> out = {};
      if (args.d_x_mode == GradMode::accumulate) out = load<kWidth>(d_x + k);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) out.value[e] += (b.value[e] - a.value[e] * projection) * inv_norm;
      store(d_x + k, out);
    }
  }
}

}  // namespace

void row_normalize(const RowNormalizeArgs& args, CudaStream exec) {
  if (args.rows == 0) return;
  const bool wide = quads(args.cols, args.x, args.x_ld) && quads(args.cols, args.y, args.y_ld);
  launch(wide ? row_normalize_kernel<4> : row_normalize_kernel<1>, grid_for(args.rows, kWarps), kBlock, 0, exec, args);
}

void row_normalize_backward(const RowNormalizeBackwardArgs& args, CudaStream exec) {
  if (args.rows == 0 || args.d_x_mode == GradMode::skip) return;
  const bool wide =
      quads(args.cols, args.y, args.y_ld) && quads(args.cols, args.d_y, args.d_y_ld) && quads(args.cols, args.d_x, args.d_x_ld);
  launch(wide ? row_normalize_backward_kernel<4> : row_normalize_backward_kernel<1>, grid_for(args.rows, kWarps), kBlock, 0,
         exec, args);
}

}  // namespace swath::kernels
