// Boosted binomial deviance, on CUDA: a block for 64 × 64 pairs takes all learners' scores and makes ∂loss/∂S of them, then a
// block for 64 × 64 values of d_x multiplies these with the rows. Plain float32 multiply-adds, 4 × 4 a thread. methods.md §6.
#include "kernels/aligned.cuh"
#include "kernels/binomial_loss.h"
#include "kernels/binomial_loss_terms.h"
#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 256;  // 16 × 16 threads
constexpr int kTile = static_cast<int>(kBinomialTile);
constexpr int kPer = 4;            // rows and columns of a thread
constexpr int kDepth = 32;         // of a product at a time
constexpr int kPitch = kTile + 4;  // keeps rows aligned to 16 bytes and spreads the transposing stores over all banks
static_assert(kTile == 16 * kPer && kBlock == kTile * kDepth / 8);

/// kDepth vectors of kTile values: one side of kDepth rank-one updates.
struct Slab {
  float value[kDepth][kPitch];
};

__device__ std::int64_t rows_in_use(const BinomialLossArgs& args) {
  if (!args.row_count) return args.rows;
  const std::int64_t count = *args.row_count;
  return count < 0 ? 0 : (count < args.rows ? count : args.rows);
}

__device__ void add_products(const Slab& a, const Slab& b, float (&sum)[kPer][kPer]) {
  const int row = threadIdx.x / 16 * kPer, column = threadIdx.x % 16 * kPer;
#pragma unroll 8
  for (int k = 0; k < kDepth; ++k) {
    const Floats<kPer> u = load<kPer>(&a.value[k][row]), v = load<kPer>(&b.value[k][column]);
#pragma unroll
    for (int r = 0; r < kPer; ++r) {
#pragma unroll
      for (int c = 0; c < kPer; ++c) sum[r][c] = fmaf(u.value[r], v.value[c], sum[r][c]);
    }
  }
}

/// Four values from p on, those from `count` on zero.
template <int kWidth>
__device__ Floats<4> load_up_to(const float* p, std::int64_t count) {
  Floats<4> v = {};
  if constexpr (kWidth == 4) {
    if (count > 0) v = load<4>(p);
  } else {
#pragma unroll
    for (int e = 0; e < 4; ++e) v.value[e] = e < count ? p[e] : 0.0f;
  }
  return v;
}

/// kDepth columns of kTile rows on their way from memory to a slab, transposed: 4 columns of 2 rows a thread. The lanes of a
/// warp take 16 rows by 8 columns, whole sectors of memory and all banks of shared memory.
struct RowsInFlight {
  Floats<4> value[2];

  __device__ static int row(int part) { return threadIdx.x / 2 % 16 + threadIdx.x / 128 * 16 + part * 32; }
  __device__ static int column() { return (threadIdx.x % 2 + threadIdx.x / 32 % 4 * 2) * 4; }

  template <int kWidth>
  __device__ void fetch(const float* x, std::int64_t ld, std::int64_t rows, std::int64_t columns) {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      const bool inside = row(part) < rows;
      value[part] = load_up_to<kWidth>(x + (inside ? row(part) * ld : 0) + column(), inside ? columns - column() : 0);
    }
  }
  __device__ void deposit(Slab& slab) const {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
#pragma unroll
      for (int e = 0; e < 4; ++e) slab.value[column() + e][row(part)] = value[part].value[e];
    }
  }
};

/// kTile columns of kDepth rows on their way from memory to a slab as they are: 4 columns of 2 rows a thread.
struct ColumnsInFlight {
  Floats<4> value[2];

  __device__ static int row(int part) { return threadIdx.x / 16 + part * 16; }
  __device__ static int column() { return threadIdx.x % 16 * 4; }

  template <int kWidth>
  __device__ void fetch(const float* x, std::int64_t ld, std::int64_t rows, std::int64_t columns) {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      const bool inside = row(part) < rows;
      value[part] = load_up_to<kWidth>(x + (inside ? row(part) * ld : 0) + column(), inside ? columns - column() : 0);
    }
  }
  __device__ void deposit(Slab& slab) const {
#pragma unroll
    for (int part = 0; part < 2; ++part) store_shared(&slab.value[row(part)][column()], value[part]);
  }
};

/// Rows of each row's class, a warp a row.
__global__ void __launch_bounds__(kBlock) binomial_count_kernel(BinomialLossArgs args) {
  const std::int64_t used = rows_in_use(args),
                     i = static_cast<std::int64_t>(blockIdx.x) * (kBlock / kWarp) + threadIdx.x / kWarp;
  if (i >= used) return;
  const std::int32_t own = args.row_class[i];
  int same = 0;
  for (std::int64_t j = threadIdx.x % kWarp; j < used; j += kWarp) same += args.row_class[j] == own ? 1 : 0;
  same = warp_reduce(same, SumOp{});
  if (threadIdx.x % kWarp == 0) binomial_workspace(args).same[i] = own < 0 ? 0 : same;
}

/// The pairs of one tile.
struct Tile {
  std::int64_t i0, j0, used;
};

struct PairsShared {
  Slab a, b;
  float slope[kTile][kTile + 1];
  std::int32_t class_i[kTile], class_j[kTile];
  long long count_scratch[kWarp + 1];
  float scratch[kWarp + 1];
};

__device__ BinomialKinds kinds_of_call(const BinomialLossArgs& args, std::int64_t used, long long* scratch) {
  const std::int32_t* same = binomial_workspace(args).same;
  long long rows = 0, pairs = 0;
  for (std::int64_t i = threadIdx.x; i < used; i += kBlock) {
    rows += same[i] > 0 ? 1 : 0;
    pairs += same[i];
  }
  rows = block_reduce(rows, SumOp{}, 0LL, scratch);
  return binomial_kinds(args, rows, block_reduce(pairs, SumOp{}, 0LL, scratch));
}

/// The scores of the tile under one learner, whose columns start at x.
template <int kWidth>
__device__ void scores_of_tile(const BinomialLossArgs& args, const float* x, std::int64_t width, const Tile& tile,
                               PairsShared& shared, float (&score)[kPer][kPer]) {
  const float *x_i = x + tile.i0 * args.x_ld, *x_j = x + tile.j0 * args.x_ld;
  RowsInFlight next_i, next_j;
  next_i.fetch<kWidth>(x_i, args.x_ld, tile.used - tile.i0, width);
  next_j.fetch<kWidth>(x_j, args.x_ld, tile.used - tile.j0, width);
  for (std::int64_t k0 = 0; k0 < width; k0 += kDepth) {
    __syncthreads();
    next_i.deposit(shared.a);
    next_j.deposit(shared.b);
    __syncthreads();
    if (k0 + kDepth < width) {
      next_i.fetch<kWidth>(x_i + k0 + kDepth, args.x_ld, tile.used - tile.i0, width - k0 - kDepth);
      next_j.fetch<kWidth>(x_j + k0 + kDepth, args.x_ld, tile.used - tile.j0, width - k0 - kDepth);
    }
    add_products(shared.a, shared.b, score);
  }
}

/// Writes the tile and its mirror image, both in whole rows. Columns between the rows in use and the next multiple of 4, which
/// are read with them, get their zeros.
__device__ void write_slopes(const float (&slope)[kTile][kTile + 1], const Tile& tile, float* out, std::int64_t ld) {
  const std::int64_t columns = round_up(tile.used, 4);
  const int column = threadIdx.x % kTile;
  for (int r = threadIdx.x / kTile; r < kTile; r += kBlock / kTile) {
    if (tile.i0 + r < tile.used && tile.j0 + column < columns) out[(tile.i0 + r) * ld + tile.j0 + column] = slope[r][column];
    if (tile.i0 != tile.j0 && tile.j0 + r < tile.used) out[(tile.j0 + r) * ld + tile.i0 + column] = slope[column][r];
  }
}

/// One learner's scores of the thread's pairs become slopes, in shared memory; returns what they add to the sums.
__device__ BinomialPartial slopes_of_tile(const BinomialLossArgs& args, const BinomialKinds& kinds, BoostingStep step,
                                          const Tile& tile, const float (&score)[kPer][kPer], float (&ensemble)[kPer][kPer],
                                          float (&boost)[kPer][kPer], PairsShared& shared) {
  const int row = threadIdx.x / 16 * kPer, column = threadIdx.x % 16 * kPer;
  const float beta = *args.beta;
  BinomialPartial sum{0.0f, 0.0f};
#pragma unroll
  for (int r = 0; r < kPer; ++r) {
#pragma unroll
    for (int c = 0; c < kPer; ++c) {
      const std::int32_t own = shared.class_i[row + r], other = shared.class_j[column + c];
      BinomialKind kind = own == other ? kinds.same : kinds.different;
      if (own < 0 || other < 0 || tile.i0 + row + r == tile.j0 + column + c) kind.weight = 0.0f;
      const BinomialTerm term = binomial_term(kind, beta, step, score[r][c], ensemble[r][c], boost[r][c]);
      shared.slope[row + r][column + c] = term.slope;
      sum.loss += term.loss;
      sum.slope += term.slope;
    }
  }
  return sum;
}

template <int kWidth>
__global__ void __launch_bounds__(kBlock, 2) binomial_pairs_kernel(BinomialLossArgs args) {
  if (blockIdx.x < blockIdx.y) return;
  __shared__ PairsShared shared;
  const BinomialWorkspace w = binomial_workspace(args);
  const Tile tile{static_cast<std::int64_t>(blockIdx.y) * kTile, static_cast<std::int64_t>(blockIdx.x) * kTile,
                  rows_in_use(args)};
  BinomialPartial sum{0.0f, 0.0f};
  if (tile.j0 < tile.used) {
    const BinomialKinds kinds = kinds_of_call(args, tile.used, shared.count_scratch);
    if (threadIdx.x < 2 * kTile) {
      const int r = threadIdx.x % kTile;
      const std::int64_t row = (threadIdx.x < kTile ? tile.i0 : tile.j0) + r;
      (threadIdx.x < kTile ? shared.class_i : shared.class_j)[r] = row < tile.used ? args.row_class[row] : -1;
    }
    float ensemble[kPer][kPer], boost[kPer][kPer];
#pragma unroll
    for (int p = 0; p < kPer * kPer; ++p) {
      ensemble[p / kPer][p % kPer] = boosting_start(args.boosting);
      boost[p / kPer][p % kPer] = 1.0f;
    }
    const float* x = args.x;
    for (std::int64_t k = 0; k < args.learners; ++k) {
      float score[kPer][kPer] = {};
      scores_of_tile<kWidth>(args, x, args.widths[k], tile, shared, score);
      const BinomialPartial more =
          slopes_of_tile(args, kinds, boosting_step(args.boosting, k), tile, score, ensemble, boost, shared);
      sum.loss += more.loss;
      sum.slope += more.slope;
      __syncthreads();
      if (args.d_x_mode != GradMode::skip) write_slopes(shared.slope, tile, w.slope + k * args.rows * w.ld, w.ld);
      x += args.widths[k];
    }
  }
  const float copies = tile.i0 == tile.j0 ? 1.0f : 2.0f;  // a tile off the diagonal stands for its mirror image as well
  sum.loss = copies * block_reduce(sum.loss, SumOp{}, 0.0f, shared.scratch);
  sum.slope = copies * block_reduce(sum.slope, SumOp{}, 0.0f, shared.scratch);
  if (threadIdx.x == 0) w.partial[blockIdx.y * w.tiles + blockIdx.x] = sum;
}

/// The loss and d_beta, from the tiles' sums.
__device__ void finish(const BinomialLossArgs& args, float* scratch) {
  const BinomialWorkspace w = binomial_workspace(args);
  float loss = 0.0f, slope = 0.0f;
  for (std::int64_t t = threadIdx.x; t < w.tiles * w.tiles; t += kBlock) {
    if (t % w.tiles < t / w.tiles) continue;
    loss += w.partial[t].loss;
    slope += w.partial[t].slope;
  }
  loss = block_reduce(loss, SumOp{}, 0.0f, scratch);
  slope = block_reduce(slope, SumOp{}, 0.0f, scratch);
  if (threadIdx.x != 0) return;
  const float beta = *args.beta;
  const bool trained = args.beta_update == BinomialBetaUpdate::trained;
  const float penalty = trained ? static_cast<float>(args.learners) * args.nu : 0.0f;
  *args.loss = loss + penalty * fabsf(beta);
  if (args.d_beta_mode == GradMode::skip) return;
  const float sign = beta > 0.0f ? 1.0f : (beta < 0.0f ? -1.0f : 0.0f);
  const float gradient = trained ? (args.loss_scale ? *args.loss_scale : 1.0f) * (penalty * sign - slope) : 0.0f;
  *args.d_beta = args.d_beta_mode == GradMode::accumulate ? *args.d_beta + gradient : gradient;
}

/// Adds `value` to, or writes it over, the columns of a row of d_x that exist.
template <int kWidth>
__device__ void write_gradient(float* d_x, GradMode mode, Floats<4> value, std::int64_t columns) {
  const Floats<4> before = mode == GradMode::accumulate ? load_up_to<kWidth>(d_x, columns) : Floats<4>{};
#pragma unroll
  for (int e = 0; e < 4; ++e) value.value[e] += before.value[e];
  if constexpr (kWidth == 4) {
    if (columns > 0) store(d_x, value);
  } else {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (e < columns) d_x[e] = value.value[e];
    }
  }
}

/// Block (x, y): kTile columns of one learner and kTile rows of d_x = 2 ∂loss/∂S f; the last y and first x: the loss and
/// d_beta.
template <int kWidth>
__global__ void __launch_bounds__(kBlock, 2) binomial_gradient_kernel(BinomialLossArgs args) {
  __shared__ Slab a, b;
  if (blockIdx.y == gridDim.y - 1) {
    if (blockIdx.x == 0) finish(args, &a.value[0][0]);
    return;
  }
  std::int64_t k = 0, first = 0, c0 = blockIdx.x * static_cast<std::int64_t>(kTile);
  for (; c0 >= args.widths[k]; ++k) {
    c0 -= round_up(args.widths[k], kTile);
    first += args.widths[k];
  }
  const BinomialWorkspace w = binomial_workspace(args);
  const std::int64_t used = rows_in_use(args), i0 = static_cast<std::int64_t>(blockIdx.y) * kTile,
                     columns = args.widths[k] - c0;
  float sum[kPer][kPer] = {};
  if (i0 < used) {
    // Slopes are symmetric: those of kTile rows i and kDepth rows j are read as rows j.
    const float *slope = w.slope + k * args.rows * w.ld + i0, *x = args.x + first + c0;
    ColumnsInFlight next_slope, next_x;
    next_slope.fetch<4>(slope, w.ld, used, round_up(used, 4) - i0);
    next_x.fetch<kWidth>(x, args.x_ld, used, columns);
    for (std::int64_t j0 = 0; j0 < used; j0 += kDepth) {
      __syncthreads();
      next_slope.deposit(a);
      next_x.deposit(b);
      __syncthreads();
      const std::int64_t j1 = j0 + kDepth;
      if (j1 < used) {
        next_slope.fetch<4>(slope + j1 * w.ld, w.ld, used - j1, round_up(used, 4) - i0);
        next_x.fetch<kWidth>(x + j1 * args.x_ld, args.x_ld, used - j1, columns);
      }
      add_products(a, b, sum);
    }
  }
  const float scale = 2.0f * (args.loss_scale ? *args.loss_scale : 1.0f);
  const int column = threadIdx.x % 16 * kPer;
#pragma unroll
  for (int r = 0; r < kPer; ++r) {
    const std::int64_t i = i0 + threadIdx.x / 16 * kPer + r;
    if (i >= args.rows) continue;
    Floats<4> value;
#pragma unroll
    for (int c = 0; c < kPer; ++c) value.value[c] = scale * sum[r][c];
    write_gradient<kWidth>(args.d_x + i * args.d_x_ld + first + c0 + column, args.d_x_mode, value, columns - column);
  }
}

}  // namespace

void binomial_loss(const BinomialLossArgs& args, CudaStream exec) {
  const auto tiles = static_cast<unsigned>(ceil_div(args.rows, kTile));
  const bool gradient = args.d_x_mode != GradMode::skip;
  bool wide = quads(0, args.x, args.x_ld) && (!gradient || quads(0, args.d_x, args.d_x_ld));
  std::int64_t column_tiles = 0;
  for (std::int64_t k = 0; k < args.learners; ++k) {
    wide = wide && args.widths[k] % 4 == 0;
    column_tiles += ceil_div(args.widths[k], kTile);
  }
  if (args.rows > 0) {
    launch(binomial_count_kernel, static_cast<unsigned>(ceil_div(args.rows, kBlock / kWarp)), kBlock, 0, exec, args);
    launch(wide ? binomial_pairs_kernel<4> : binomial_pairs_kernel<1>, dim3(tiles, tiles), kBlock, 0, exec, args);
  }
  const dim3 grid(gradient ? static_cast<unsigned>(column_tiles) : 1u, (gradient ? tiles : 0u) + 1u);
  launch(wide ? binomial_gradient_kernel<4> : binomial_gradient_kernel<1>, grid, kBlock, 0, exec, args);
}

}  // namespace swath::kernels
