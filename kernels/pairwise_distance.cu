// Euclidean distances between all rows, on CUDA: one block for 32 × 32 pairs on or above the diagonal, mirrored. methods.md §4.
// Every product is a chain of __fmaf_rn over ascending columns, as in the CPU twin: the two agree bit for bit.
#include "kernels/aligned.cuh"
#include "kernels/launch.cuh"
#include "kernels/pairwise_distance.h"

namespace swath::kernels {
namespace {

constexpr int kBlock = 256;        // 16 × 16 threads, 2 × 2 pairs each
constexpr int kTile = 32;          // rows of either side
constexpr int kDepth = 32;         // columns at a time
constexpr int kPitch = kTile + 2;  // even, so that two rows are one 64-bit load

/// kDepth columns of kTile rows, transposed.
struct Slab {
  float value[kDepth][kPitch];
};

/// What a thread carries from memory to a slab: 4 columns of one row.
template <int kWidth>
__device__ Floats<4> fetch(const PairwiseDistanceArgs& args, std::int64_t row0, std::int64_t k0) {
  const std::int64_t row = row0 + threadIdx.x / 8, k = k0 + threadIdx.x % 8 * 4;
  Floats<4> v = {};
  if (row >= args.rows) return v;
  const float* x = args.x + row * args.x_ld + k;
  if constexpr (kWidth == 4) {
    if (k < args.cols) v = load<4>(x);
  } else {
#pragma unroll
    for (int e = 0; e < 4; ++e) v.value[e] = k + e < args.cols ? x[e] : 0.0f;
  }
  return v;
}

__device__ void deposit(Slab& slab, const Floats<4>& v) {
#pragma unroll
  for (int e = 0; e < 4; ++e) slab.value[threadIdx.x % 8 * 4 + e][threadIdx.x / 8] = v.value[e];
}

__device__ float distance_of(float square_i, float square_j, float product) {
  return __fsqrt_rn(fmaxf(0.0f, __fmaf_rn(-2.0f, product, __fadd_rn(square_i, square_j))));
}

/// Writes the tile and its mirror image, both in whole rows.
__device__ void write_tile(const PairwiseDistanceArgs& args, const float (&tile)[kTile][kTile + 1], std::int64_t i0,
                           std::int64_t j0) {
  const int column = threadIdx.x % kTile;
  for (int r = threadIdx.x / kTile; r < kTile; r += kBlock / kTile) {
    if (i0 + r < args.rows && j0 + column < args.rows) args.distance[(i0 + r) * args.rows + j0 + column] = tile[r][column];
    if (i0 != j0 && j0 + r < args.rows && i0 + column < args.rows) {
      args.distance[(j0 + r) * args.rows + i0 + column] = tile[column][r];
    }
  }
}

template <int kWidth>
__global__ void __launch_bounds__(kBlock) pairwise_distance_kernel(PairwiseDistanceArgs args) {
  if (blockIdx.x < blockIdx.y) return;
  __shared__ Slab a, b;
  __shared__ float square_a[kTile], square_b[kTile];
  __shared__ float tile[kTile][kTile + 1];
  const std::int64_t i0 = static_cast<std::int64_t>(blockIdx.y) * kTile, j0 = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const int row = threadIdx.x / 16 * 2, column = threadIdx.x % 16 * 2;
  float product[2][2] = {}, square = 0.0f;
  Floats<4> next_a = fetch<kWidth>(args, i0, 0), next_b = fetch<kWidth>(args, j0, 0);
  for (std::int64_t k0 = 0; k0 < args.cols; k0 += kDepth) {
    __syncthreads();
    deposit(a, next_a);
    deposit(b, next_b);
    __syncthreads();
    next_a = fetch<kWidth>(args, i0, k0 + kDepth);
    next_b = fetch<kWidth>(args, j0, k0 + kDepth);
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      const float2 x = *reinterpret_cast<const float2*>(&a.value[k][row]);
      const float2 y = *reinterpret_cast<const float2*>(&b.value[k][column]);
      product[0][0] = __fmaf_rn(x.x, y.x, product[0][0]);
      product[0][1] = __fmaf_rn(x.x, y.y, product[0][1]);
      product[1][0] = __fmaf_rn(x.y, y.x, product[1][0]);
      product[1][1] = __fmaf_rn(x.y, y.y, product[1][1]);
    }
    // The first warp squares the rows of one side, the second those of the other.
    if (threadIdx.x < 2 * kTile) {
      const Slab& side = threadIdx.x < kTile ? a : b;
#pragma unroll 8
      for (int k = 0; k < kDepth; ++k) {
        const float v = side.value[k][threadIdx.x % kTile];
        square = __fmaf_rn(v, v, square);
      }
    }
  }
  if (threadIdx.x < 2 * kTile) (threadIdx.x < kTile ? square_a : square_b)[threadIdx.x % kTile] = square;
  __syncthreads();
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const bool same = i0 + row + r == j0 + column + c;
      tile[row + r][column + c] = same ? 0.0f : distance_of(square_a[row + r], square_b[column + c], product[r][c]);
    }
  }
  __syncthreads();
  write_tile(args, tile, i0, j0);
}

}  // namespace

void pairwise_distance(const PairwiseDistanceArgs& args, CudaStream exec) {
  if (args.rows == 0) return;
  const auto tiles = static_cast<unsigned>(ceil_div(args.rows, kTile));
  launch(quads(args.cols, args.x, args.x_ld) ? pairwise_distance_kernel<4> : pairwise_distance_kernel<1>, dim3(tiles, tiles),
         kBlock, 0, exec, args);
}

}  // namespace swath::kernels
