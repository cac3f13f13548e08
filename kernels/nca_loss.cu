// NCA with a memory bank on CUDA: sums of Z' and P, rows, gradient, and the sum of its parts. methods.md §6.
// A block holds its rows of the batch in registers, 32 columns in each warp, and streams 16 bank rows at a time through shared
// memory: every warp multiplies its columns, the block adds the warps' similarities and turns them into weights of the bank
// rows, and every warp adds these rows to its columns of the gradient.
#include "kernels/aligned.cuh"
#include "kernels/label_mask.h"
#include "kernels/launch.cuh"
#include "kernels/nca_loss.h"
#include "kernels/nca_loss_plan.h"
#include "kernels/nca_loss_products.cuh"
#include "kernels/nca_loss_terms.h"
#include "kernels/portable_math.h"
#include "kernels/reduce.cuh"

#include <limits>

namespace swath::kernels {
namespace {

using nca::kSliceCols;
using nca::kTileRows;
using nca::thread_anew;
using Plan = nca_plan::Cuda;

enum class Pass : std::uint8_t { statistics, gradient };

/// Whether rows fit the registers of a block, or 512 columns are taken at a time.
enum class Width : std::uint8_t { one_span, many_spans };

struct Work {
  NcaSums* sums;
  float4* rows;
  float *losses, *partials;
  std::int64_t runs, bank_rows, first_row;
  NcaFactors factors;
  int tiles, run_tiles, spans, warps, words;
  bool wide;      // whether rows of the bank are whole aligned groups of 16 bytes
  bool has_rows;  // whether `losses` are there
};

struct Empty {};

/// Place of a row of the batch that is not in use: that of no row of any slice.
constexpr int kNotInUse = std::numeric_limits<int>::min();

__device__ __forceinline__ NcaSums load_sums(const float4& v) { return {v.x, v.y, v.z, v.w}; }
__device__ __forceinline__ void store_sums(float4& to, const NcaSums& v) {
  to = make_float4(v.shift, v.total, v.positive_shift, v.positive);
}

/// What a block of a pass keeps in shared memory, in front of its tiles and its similarities.
template <class P, Pass kPass>
struct Shared {
  static constexpr bool kGradient = kPass == Pass::gradient;
  static constexpr int kM = kGradient ? Plan::kGradientRows / 16 : Plan::kStatisticsRows / 16;  // tiles of 16 rows
  static constexpr int kRows = 16 * kM;
  static constexpr int kPairs = kRows * kTileRows;
  // The gradient adds the rows of a tile while the next one waits for its weights and a third one arrives.
  static constexpr int kStages = kGradient ? 3 : 2;
  using Weights = typename P::template Weights<kM>;

  float4 sums[kGradient ? 1 : kPairs];                       // NcaSums that travel whole; of even columns, then of odd ones
  std::conditional_t<kGradient, Weights, Empty> weights[2];  // of even tiles, of odd ones
  float4 rows[kGradient ? kRows : 1];
  std::uint64_t labels[kRows][kNcaMaxWords];
  std::uint64_t tile_labels[kStages][kTileRows * kNcaMaxWords];
  std::int32_t index[kRows];  // from the slice's first row on

  static __device__ int sums_at(int pair) { return pair / 2 + pair % 2 * (kPairs / 2); }
  static constexpr std::size_t similarities_at() { return (sizeof(Shared) + 15) / 16 * 16; }
  static constexpr std::size_t bytes(std::int64_t warps) {
    return similarities_at() + static_cast<std::size_t>(warps) * kPairs * sizeof(float) +
           kStages * kTileRows * pitch(warps) * sizeof(typename P::Element);
  }
  static constexpr std::size_t pitch(std::int64_t warps) { return static_cast<std::size_t>(warps) * kSliceCols + P::kPad; }
};

/// A span of a tile, and the stage that it is copied to.
struct Unit {
  int tile, span, stage;
};

/// What does not change while a block runs.
template <class P, Pass kPass, Width kWidth>
struct Block {
  using S = Shared<P, kPass>;
  using Element = typename P::Element;
  static constexpr int kElements = 16 / sizeof(Element);

  const NcaLossArgs& args;
  const Work& work;
  S& shared;
  float* similarities;  // warps × kPairs
  Element* tiles;       // kStages × 16 × pitch
  int row0, pitch, span, first_tile, end_tile;

  __device__ Block(const NcaLossArgs& a, const Work& w, unsigned char* memory)
      : args(a), work(w), shared(*reinterpret_cast<S*>(memory)) {
    pitch = static_cast<int>(S::pitch(w.warps));
    similarities = reinterpret_cast<float*>(memory + S::similarities_at());
    tiles = reinterpret_cast<Element*>(similarities + w.warps * S::kPairs);
    const int id = static_cast<int>(blockIdx.x);
    row0 = (S::kGradient ? id / spans() : id) * S::kRows;
    span = S::kGradient ? id % spans() : spans() - 1;
    first_tile = static_cast<int>(blockIdx.y) * w.run_tiles;
    end_tile = first_tile + w.run_tiles < w.tiles ? first_tile + w.run_tiles : w.tiles;
  }

  __device__ int spans() const { return kWidth == Width::one_span ? 1 : work.spans; }
  __device__ Unit first_unit() const { return {first_tile, first_span(), 0}; }
  /// A block's own span comes last in a tile: there the gradient finds it still in shared memory.
  __device__ int first_span() const { return kWidth == Width::one_span ? 0 : (span + 1) % spans(); }
  __device__ bool begins_tile(const Unit& unit) const { return kWidth == Width::one_span || unit.span == first_span(); }
  __device__ bool ends_tile(const Unit& unit) const { return kWidth == Width::one_span || unit.span == span; }
  __device__ Unit next(const Unit& unit) const {
    const int stage = unit.stage + 1 == S::kStages ? 0 : unit.stage + 1;
    if constexpr (kWidth == Width::one_span) return {unit.tile + 1, 0, stage};
    return {unit.tile + (ends_tile(unit) ? 1 : 0), unit.span + 1 == spans() ? 0 : unit.span + 1, stage};
  }
  __device__ int stage_before(const Unit& unit) const { return unit.stage == 0 ? S::kStages - 1 : unit.stage - 1; }
  __device__ Element* stage(int index) const { return tiles + index * kTileRows * pitch; }

  /// Starts the copy of a unit, with zeros outside the bank; beyond the last unit nothing.
  __device__ void fetch(const Unit& unit) const {
    if (unit.tile < end_tile) {
      const std::int64_t j0 = static_cast<std::int64_t>(unit.tile) * kTileRows;
      // A warp copies the columns that it multiplies, kElements rows at a time.
      constexpr int kGroups = kSliceCols / kElements;
      const unsigned thread = thread_anew();
      const int copy_row = static_cast<int>(thread % kWarp / kGroups);
      const int column = static_cast<int>(thread / kWarp * kSliceCols + thread % kGroups * kElements);
      const std::int64_t k = static_cast<std::int64_t>(unit.span) * Plan::kSpan + column;
      Element* to = stage(unit.stage) + copy_row * pitch + column;
      const Element* from = static_cast<const Element*>(args.bank) + (j0 + copy_row) * args.cols + k;
      const auto left = static_cast<int>(args.rows - j0 < kTileRows ? args.rows - j0 : kTileRows) - copy_row;
      if (work.wide) {
#pragma unroll
        for (int r = 0; r < kTileRows; r += kElements) {
          const bool inside = r < left && k < args.cols;
          copy_async16(to + r * pitch, inside ? from + r * args.cols : args.bank, inside ? 16 : 0);
        }
      } else {
#pragma unroll 1
        for (int r = 0; r < kTileRows; r += kElements) {
#pragma unroll 1
          for (int e = 0; e < kElements; ++e)
            to[r * pitch + e] = r < left && k + e < args.cols ? from[r * args.cols + e] : from_float<Element>(0.0f);
        }
      }
      const std::uint64_t* labels = args.labels + (work.first_row + j0) * work.words;
      for (int id = static_cast<int>(thread); id < kTileRows * work.words; id += blockDim.x) {
        const bool inside = id < (left + copy_row) * work.words;
        copy_async8(shared.tile_labels[unit.stage] + id, inside ? labels + id : args.labels, inside ? 8 : 0);
      }
    }
  }

  /// Index, labels and numbers of the block's rows.
  __device__ void load_rows() const {
    for (int r = threadIdx.x; r < S::kRows; r += blockDim.x) {
      const std::int64_t i = row0 + r, own = i < args.batch ? args.index[i] : -1;
      const bool used = own >= 0 && own < work.bank_rows;
      shared.index[r] = used ? static_cast<std::int32_t>(own - work.first_row) : kNotInUse;
      for (int w = 0; w < work.words; ++w) shared.labels[r][w] = used ? args.labels[own * work.words + w] : 0;
      if constexpr (S::kGradient) shared.rows[r] = i < args.batch ? work.rows[i] : float4{0.0f, 0.0f, 0.0f, 0.0f};
    }
    if constexpr (!S::kGradient) {
      for (int pair = threadIdx.x; pair < S::kPairs; pair += blockDim.x) store_sums(shared.sums[pair], nca_no_sums());
    }
  }
};

/// A pair's place among the similarities: four elements of a lane, lanes, then 8 bank rows, then 16 rows of the batch.
struct Pair {
  int row, column;
  __device__ explicit Pair(int id) {
    const int lane = id / 4 % 32, element = id % 4;
    row = id / 256 * 16 + element / 2 * 8 + lane / 4;
    column = id / 128 % 2 * 8 + lane % 4 * 2 + element % 2;
  }
  static __device__ int id(int row, int column) {
    return (row / 16 * 2 + column / 8) * 128 + (row % 8 * 4 + column % 8 / 2) * 4 + row / 8 % 2 * 2 + column % 2;
  }
};

/// sum · exp(shift) += factor · exp(s).
__device__ void add_to_sum(float& shift, float& sum, float s, float factor) {
  const bool rises = s > shift;
  const float shrink = expf(rises ? shift - s : s - shift);
  sum = rises ? fmaf(sum, shrink, factor) : fmaf(factor, shrink, sum);
  shift = rises ? s : shift;
}

/// T · dL/ds of a row {shift, 1/Z', positive shift, 1/P}, times the number of rows.
__device__ float gradient_weight(const float4& row, const NcaFactors& factors, float s, float common) {
  const float push = expf(s - row.x) * row.y * factors.total(common);
  return common > 0.0f ? push - expf(s - row.z) * row.w * factors.positive(common) : push;
}

/// The thread's place among those that finish pairs. Half of a full block is enough for the gradient: every second group of
/// four warps, one of which is on each part of a processor, while the others go on to multiply.
template <class S>
__device__ int finishing_thread() {
  const auto thread = static_cast<int>(thread_anew());
  if (!S::kGradient || static_cast<int>(blockDim.x) < S::kPairs) return thread;
  const int group = thread / (4 * kWarp);
  return group % 2 == 0 ? group / 2 * (4 * kWarp) + thread % (4 * kWarp) : S::kPairs;
}

/// Adds the warps' similarities of a tile, and puts every pair where it belongs: into its sums, or among the weights. A thread
/// takes two neighbouring columns of a row.
template <class P, Pass kPass, Width kWidth>
__device__ void finish_pairs(const Block<P, kPass, kWidth>& block, const Unit& unit) {
  using S = Shared<P, kPass>;
  const Work& work = block.work;
  const std::int64_t j0 = static_cast<std::int64_t>(unit.tile) * kTileRows;
  const auto left = static_cast<int>(block.args.rows - j0 < kTileRows ? block.args.rows - j0 : kTileRows);
  for (int id = finishing_thread<S>() * 2; id < S::kPairs; id += static_cast<int>(blockDim.x) * 2) {
    float2 product = {0.0f, 0.0f};
    const float* part = block.similarities + id;
#pragma unroll 8
    for (int w = 0; w < work.warps; ++w, part += S::kPairs) {
      const float2 more = *reinterpret_cast<const float2*>(part);
      product.x += more.x;
      product.y += more.y;
    }
    const Pair pair(id);
    const int own = block.shared.index[pair.row];
    const auto self = static_cast<int>(static_cast<unsigned>(own) - static_cast<unsigned>(j0));
    const std::uint64_t* labels = block.shared.tile_labels[unit.stage] + pair.column * work.words;
    float weight[2];
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      // Never fused with the subtraction of a shift, which is the rounded value of one of these.
      const float s = portable::mul(e == 0 ? product.x : product.y, work.factors.inv_temperature);
      const bool counts = own != kNotInUse && pair.column + e < left && pair.column + e != self;
      const auto common = static_cast<float>(common_labels(block.shared.labels[pair.row], labels + e * work.words, work.words));
      if constexpr (S::kGradient) {
        weight[e] = counts ? gradient_weight(block.shared.rows[pair.row], work.factors, s, common) : 0.0f;
      } else if (counts) {
        float4& at = block.shared.sums[S::sums_at(id + e)];
        NcaSums sums = load_sums(at);
        add_to_sum(sums.shift, sums.total, s, work.factors.total(common));
        if (common > 0.0f) add_to_sum(sums.positive_shift, sums.positive, s, work.factors.positive(common));
        store_sums(at, sums);
      }
    }
    if constexpr (S::kGradient) block.shared.weights[unit.tile % 2].put(pair.row, pair.column, weight[0], weight[1]);
  }
}

/// The sums of a row's 16 places, in order.
template <class P, Width kWidth>
__device__ void write_sums(const Block<P, Pass::statistics, kWidth>& block) {
  __syncthreads();
  for (int r = threadIdx.x; r < Plan::kStatisticsRows; r += blockDim.x) {
    if (block.row0 + r >= block.args.batch) continue;
    NcaSums row = nca_no_sums();
    for (int c = 0; c < kTileRows; ++c)
      row = nca_merge(row, load_sums(block.shared.sums[Shared<P, Pass::statistics>::sums_at(Pair::id(r, c))]));
    block.work.sums[blockIdx.y * block.args.batch + block.row0 + r] = row;
  }
}

/// The warp's part of partials[run][row][column].
template <class P, Width kWidth, int kM>
__device__ void write_partial(const Block<P, Pass::gradient, kWidth>& block, const float (&sum)[kM][4][4], std::int64_t k0) {
  const std::int64_t cols = block.args.cols;
  float* out = block.work.partials + blockIdx.y * block.args.batch * cols;
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const std::int64_t i = block.row0 + 16 * m + e / 2 * 8 + nca::group_of_lane();
        const std::int64_t k = k0 + 8 * n + 2 * nca::quad_of_lane() + e % 2;
        if (i < block.args.batch && k < cols) out[i * cols + k] = sum[m][n][e];
      }
    }
  }
}

/// The warp's similarities over its columns of a unit; those of a tile's further spans are added to the first one's.
template <class P, Pass kPass, Width kWidth>
__device__ void add_similarities(const Block<P, kPass, kWidth>& block,
                                 const typename P::template Embeddings<Shared<P, kPass>::kM>& rows, const Unit& unit) {
  using S = Shared<P, kPass>;
  float sum[S::kM][2][4] = {};
  P::add_similarities(sum, rows, block.stage(unit.stage), block.pitch);
  const unsigned thread = thread_anew();
  auto* out = reinterpret_cast<float4*>(block.similarities + thread / kWarp * S::kPairs) + thread % kWarp;
  const bool adds = !block.begins_tile(unit);
#pragma unroll
  for (int m = 0; m < S::kM; ++m) {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const float(&s)[4] = sum[m][n];
      float4& at = out[(2 * m + n) * kWarp];
      const float4 before = adds ? at : float4{};
      at = make_float4(before.x + s[0], before.y + s[1], before.z + s[2], before.w + s[3]);
    }
  }
}

template <class P, Pass kPass, Width kWidth>
__global__ void __launch_bounds__(Plan::kMaxWarps* kWarp, 1) bank_kernel(NcaLossArgs args, Work work) {
  using S = Shared<P, kPass>;
  constexpr int kM = S::kM;
  extern __shared__ __align__(16) unsigned char memory[];
  const Block<P, kPass, kWidth> block(args, work, memory);
  const int warp = threadIdx.x / kWarp, column = warp * kSliceCols;
  const nca::RowSource source{args.embeddings, args.batch, args.cols, args.embeddings_ld};
  typename P::template Embeddings<kM> embeddings;
  float gradient[kM][4][4] = {};
  const auto add_rows = [&](int tile, int stage) {
    if constexpr (S::kGradient) P::add_rows(gradient, block.shared.weights[tile % 2], block.stage(stage) + column, block.pitch);
  };
  Unit unit = block.first_unit();
  block.load_rows();
  block.fetch(unit);
  wait_copies();
  __syncthreads();
  if constexpr (kWidth == Width::one_span) embeddings.load(source, block.row0, column);
  while (unit.tile < block.end_tile) {
    const Unit next = block.next(unit);
    block.fetch(next);
    if constexpr (kWidth == Width::many_spans)
      embeddings.load(source, block.row0, static_cast<std::int64_t>(unit.span) * Plan::kSpan + column);
    add_similarities(block, embeddings, unit);
    __syncthreads();
    if (block.ends_tile(unit)) finish_pairs(block, unit);
    if (block.begins_tile(unit) && unit.tile > block.first_tile) add_rows(unit.tile - 1, block.stage_before(unit));
    wait_copies();
    __syncthreads();
    unit = next;
  }
  if (block.first_tile < block.end_tile) add_rows(unit.tile - 1, block.stage_before(unit));
  if constexpr (S::kGradient)
    write_partial(block, gradient, static_cast<std::int64_t>(block.span) * Plan::kSpan + column);
  else
    write_sums(block);
}

/// A warp a row: the runs' sums, or the slices', put together; into `merged`, or, where that is null, made into what the
/// gradient needs.
__global__ void __launch_bounds__(128) rows_kernel(NcaLossArgs args, Work work, std::int64_t runs, NcaSums* merged) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * (blockDim.x / kWarp) + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (i >= args.batch) return;
  NcaSums row = nca_no_sums();
  for (std::int64_t run = lane; run < runs; run += kWarp) row = nca_merge(row, work.sums[run * args.batch + i]);
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const auto from = [offset](float v) { return __shfl_down_sync(0xffffffffu, v, offset); };
    const NcaSums other{from(row.shift), from(row.total), from(row.positive_shift), from(row.positive)};
    row = nca_merge(row, other);
  }
  if (lane > 0) return;
  if (merged) {
    store_sums(reinterpret_cast<float4&>(merged[i]), row);
    return;
  }
  work.losses[i] = nca_row_loss(work.factors, row);
  // With shifts of ∞ all weights of a row that takes no part are 0.
  work.rows[i] = nca_takes_part(row) ? float4{row.shift, 1.0f / row.total, row.positive_shift, 1.0f / row.positive}
                                     : float4{INFINITY, 0.0f, INFINITY, 0.0f};
}

/// The gradient from its parts, and in the first block the loss.
template <int kVector>
__global__ void __launch_bounds__(256) sum_kernel(NcaLossArgs args, Work work) {
  __shared__ float scratch[kWarp + 1];
  float used = 0.0f, loss = 0.0f;
  for (std::int64_t i = threadIdx.x; i < args.batch; i += blockDim.x) {
    used += args.index[i] >= 0 && args.index[i] < work.bank_rows ? 1.0f : 0.0f;
    if (blockIdx.x == 0 && work.has_rows) loss += work.losses[i];
  }
  const float inv_used = 1.0f / fmaxf(1.0f, block_reduce(used, SumOp{}, 0.0f, scratch));
  if (blockIdx.x == 0) {
    loss = block_reduce(loss, SumOp{}, 0.0f, scratch);
    if (threadIdx.x == 0) *args.loss = loss * inv_used;
  }
  if (args.d_embeddings_mode == GradMode::skip) return;
  const float scale = (args.loss_scale ? *args.loss_scale : 1.0f) * inv_used / args.temperature;
  const std::int64_t all = args.batch * args.cols, stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x * kVector;
  for (std::int64_t at = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kVector; at < all; at += stride) {
    const std::int64_t i = at / args.cols, k = at - i * args.cols;
    const std::int64_t runs = args.index[i] >= 0 && args.index[i] < work.bank_rows ? work.runs : 0;
    Floats<kVector> sum = {};
#pragma unroll 8
    for (std::int64_t run = 0; run < runs; ++run) {
      const Floats<kVector> part = load<kVector>(work.partials + run * all + at);
#pragma unroll
      for (int e = 0; e < kVector; ++e) sum.value[e] += part.value[e];
    }
    float* out = args.d_embeddings + i * args.d_embeddings_ld + k;
    const Floats<kVector> before = args.d_embeddings_mode == GradMode::accumulate ? load<kVector>(out) : Floats<kVector>{};
#pragma unroll
    for (int e = 0; e < kVector; ++e) sum.value[e] = before.value[e] + scale * sum.value[e];
    store(out, sum);
  }
}

template <class P>
constexpr std::size_t most_shared() {
  return std::max(Shared<P, Pass::statistics>::bytes(Plan::kMaxWarps), Shared<P, Pass::gradient>::bytes(Plan::kMaxWarps));
}

/// What a block of bank_kernel takes at most, for its budget.
[[maybe_unused]] constexpr std::size_t bank_kernel_dynamic_shared() {
  return std::max(
      {most_shared<nca::Products<bf16, 2>>(), most_shared<nca::Products<float, 3>>(), most_shared<nca::Products<float, 1>>()});
}

template <class P, Pass kPass, Width kWidth>
void launch_pass(const NcaLossArgs& args, const Plan& plan, const Work& work, CudaStream exec) {
  const std::size_t bytes = Shared<P, kPass>::bytes(plan.warps);
  const auto kernel = bank_kernel<P, kPass, kWidth>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
             "shared memory of nca_loss");
  const std::int64_t blocks = ceil_div(args.batch, Shared<P, kPass>::kRows) * (kPass == Pass::gradient ? plan.spans : 1);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(work.tiles, work.run_tiles)));
  launch(kernel, grid, static_cast<unsigned>(plan.warps) * kWarp, bytes, exec, args, work);
}

template <class P, Width kWidth>
void run_passes(const NcaLossArgs& args, const Plan& plan, Work work, CudaStream exec) {
  work.run_tiles = static_cast<int>(plan.statistics_tiles);
  if (args.part != NcaPart::loss && work.tiles > 0) launch_pass<P, Pass::statistics, kWidth>(args, plan, work, exec);
  NcaSums* const merged = args.part == NcaPart::sums ? nca_slice_sums(args, args.slice) : nullptr;
  Work rows = work;
  if (args.part == NcaPart::loss) rows.sums = nca_slice_sums(args, 0);
  launch(rows_kernel, grid_for(args.batch, 128 / kWarp, 1 << 30), 128, 0, exec, args, rows,
         args.part == NcaPart::loss ? args.slices : plan.statistics_runs, merged);
  if (args.d_embeddings_mode == GradMode::skip || args.part == NcaPart::sums || work.tiles == 0) return;
  work.run_tiles = static_cast<int>(plan.gradient_tiles);
  launch_pass<P, Pass::gradient, kWidth>(args, plan, work, exec);
}

template <class P>
void run_passes(const NcaLossArgs& args, const Plan& plan, const Work& work, CudaStream exec) {
  if (work.spans == 1)
    run_passes<P, Width::one_span>(args, plan, work, exec);
  else
    run_passes<P, Width::many_spans>(args, plan, work, exec);
}

}  // namespace

void nca_loss(const NcaLossArgs& args, CudaStream exec) {
  check_nca_arguments(args);
  const Plan plan(args);
  const auto group = static_cast<std::int64_t>(16 / size_of(args.bank_type));
  const bool wide = args.cols % group == 0 && reinterpret_cast<std::uintptr_t>(args.bank) % 16 == 0;
  const Work work{.sums = plan.sums,
                  .rows = reinterpret_cast<float4*>(plan.rows),
                  .losses = plan.losses,
                  .partials = plan.partials,
                  .runs = plan.gradient_runs,
                  .bank_rows = nca_bank_rows(args),
                  .first_row = nca_first_row(args),
                  .factors = nca_factors(args),
                  .tiles = static_cast<int>(plan.tiles),
                  .run_tiles = 0,
                  .spans = static_cast<int>(plan.spans),
                  .warps = static_cast<int>(plan.warps),
                  .words = static_cast<int>(label_words(args.classes)),
                  .wide = wide,
                  .has_rows = args.part == NcaPart::loss || plan.tiles > 0};
  // A slice without rows has sums, too: none.
  if (args.batch > 0 && (plan.tiles > 0 || args.part != NcaPart::whole)) {
    if (args.bank_type == DType::bf16)
      run_passes<nca::Products<bf16, 2>>(args, plan, work, exec);
    else if (args.math == NcaMath::full)
      run_passes<nca::Products<float, 3>>(args, plan, work, exec);
    else
      run_passes<nca::Products<float, 1>>(args, plan, work, exec);
  }
  if (args.part == NcaPart::sums) return;
  const bool quad = args.d_embeddings_mode == GradMode::skip || quads(args.cols, args.d_embeddings, args.d_embeddings_ld);
  launch(quad ? sum_kernel<4> : sum_kernel<1>, grid_for(args.batch * args.cols, quad ? 1024 : 256), 256, 0, exec, args, work);
}

}  // namespace swath::kernels
