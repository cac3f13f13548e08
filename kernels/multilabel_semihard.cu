// Semihard triplets of multi-hot rows, on CUDA: a block an anchor counts, one block sums, a block an anchor writes.
// methods.md §5.
#include "kernels/launch.cuh"
#include "kernels/match_list.cuh"
#include "kernels/multilabel_semihard_draw.h"
#include "kernels/pairwise_distance.h"
#include "kernels/reduce.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 128;
constexpr int kScanBlock = 512;

/// Where a row stands in an anchor's order, as one number: the bits of its distance (which is ≥ 0), then its index plus one.
using Place = unsigned long long;
constexpr Place kNoPlace = 0, kBehindAll = ~Place{0};

__device__ std::int64_t row_of(Place place) { return static_cast<std::int64_t>(place & 0xffffffffu) - 1; }

__device__ std::int64_t rows_in_use(const MultilabelSemihardArgs& args) {
  if (!args.row_count) return args.rows;
  const std::int64_t count = *args.row_count;
  return count < 0 ? 0 : (count < args.rows ? count : args.rows);
}

/// Rows nearer than a positive: those that are fine negatives, and those without a shared label.
struct Nearer {
  std::uint32_t fine, zero;
};

/// A block's view of one anchor. Its functions are called by all threads and give all the same result.
struct Anchor {
  const float* distance;
  const std::uint16_t* similarity;
  const std::int32_t* label_count;
  std::int64_t used;
  std::int64_t index;

  /// The similarity of a row that takes part, else −1.
  __device__ int kind(std::int64_t j) const {
    return j < used && j != index && label_count[j] > 0 ? static_cast<int>(similarity[j]) : -1;
  }
  __device__ Place place(std::int64_t j) const {
    return (static_cast<Place>(__float_as_uint(distance[j]) ^ 0x80000000u) << 32) | static_cast<Place>(j + 1);
  }

  /// The farthest positive of at least this similarity that is nearer than `before`.
  __device__ Place farthest_positive(Place before, int least, Place* scratch) const {
    Place farthest = kNoPlace;
    for (std::int64_t j = threadIdx.x; j < used; j += kBlock) {
      if (kind(j) < least) continue;
      const Place candidate = place(j);
      if (candidate < before && candidate > farthest) farthest = candidate;
    }
    return block_reduce(farthest, MaxOp{}, kNoPlace, scratch);
  }

  __device__ Nearer count_nearer(Place p, Place* scratch) const {
    const int limit = kind(row_of(p));
    std::uint32_t fine = 0, zero = 0;
    for (std::int64_t j = threadIdx.x; j < used; j += kBlock) {
      const int own = kind(j);
      if (own < 0 || own >= limit || place(j) >= p) continue;
      fine += own > 0 ? 1 : 0;
      zero += own == 0 ? 1 : 0;
    }
    const Place both = block_reduce((static_cast<Place>(fine) << 32) | zero, SumOp{}, Place{0}, scratch);
    return {static_cast<std::uint32_t>(both >> 32), static_cast<std::uint32_t>(both)};
  }

  /// The fine triplets of all positives from p on to the nearest.
  __device__ Place count_last(Place p, Place* scratch) const {
    Place pairs = 0;
    for (std::int64_t j = threadIdx.x; j < used; j += kBlock) {
      const int limit = kind(j);
      const Place own = limit > 1 ? place(j) : kBehindAll;
      if (own > p) continue;
      for (std::int64_t n = 0; n < used; ++n) {
        const int other = kind(n);
        pairs += other > 0 && other < limit && place(n) < own ? 1 : 0;
      }
    }
    return block_reduce(pairs, SumOp{}, Place{0}, scratch);
  }
};

__device__ Anchor look_from(const MultilabelSemihardArgs& args, std::int64_t i, std::int64_t used) {
  return {args.distance + i * args.rows, args.similarity + i * args.rows, args.label_count, used, i};
}

__global__ void __launch_bounds__(kBlock, 8) count_kernel(MultilabelSemihardArgs args) {
  __shared__ Place scratch[kWarp + 1];
  const std::int64_t used = rows_in_use(args);
  auto* counts = static_cast<std::int64_t*>(args.workspace);
  for (std::int64_t i = blockIdx.x; i < used; i += gridDim.x) {
    const Anchor anchor = look_from(args, i, used);
    std::int64_t triplets = 0;
    Place p = args.label_count[i] > 0 ? anchor.farthest_positive(kBehindAll, 1, scratch) : kNoPlace;
    while (p != kNoPlace) {
      const Nearer nearer = anchor.count_nearer(p, scratch);
      if (nearer.zero == 0) {
        triplets += static_cast<std::int64_t>(anchor.count_last(p, scratch));
        break;
      }
      triplets += nearer.fine + coarse_draws(args, nearer.zero);
      if (triplets >= args.max_trips_per_anchor) break;
      p = anchor.farthest_positive(p, 1, scratch);
    }
    if (threadIdx.x == 0) counts[i] = triplets;
  }
}

/// The sum over the threads up to and with this one.
__device__ std::int64_t scan_block(std::int64_t v, std::int64_t* warp_sum) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const std::int64_t lower = __shfl_up_sync(0xffffffffu, v, offset);
    if (lane >= offset) v += lower;
  }
  if (lane == kWarp - 1) warp_sum[warp] = v;
  __syncthreads();
  for (int w = 0; w < warp; ++w) v += warp_sum[w];
  __syncthreads();
  return v;
}

/// Counts to the places where the anchors' triplets begin; the total comes last.
__global__ void __launch_bounds__(kScanBlock) scan_kernel(MultilabelSemihardArgs args) {
  __shared__ std::int64_t warp_sum[kScanBlock / kWarp];
  __shared__ std::int64_t chunk_total;
  const std::int64_t used = rows_in_use(args);
  auto* counts = static_cast<std::int64_t*>(args.workspace);
  std::int64_t before = 0;
  for (std::int64_t i0 = 0; i0 < used; i0 += kScanBlock) {
    const std::int64_t i = i0 + threadIdx.x, own = i < used ? counts[i] : 0, sum = scan_block(own, warp_sum);
    if (i < used) counts[i] = before + sum - own;
    if (threadIdx.x == kScanBlock - 1) chunk_total = sum;
    __syncthreads();
    before += chunk_total;
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  counts[used] = before;
  const std::int64_t count = before < args.capacity ? before : args.capacity, dropped = before - count;
  *args.triplet_count = static_cast<std::int32_t>(count);
  *args.dropped = static_cast<std::int32_t>(dropped < 0x7fffffff ? dropped : 0x7fffffff);
}

/// Places of the output for one anchor's triplets.
struct Output {
  std::int32_t* triplets;
  std::int64_t next, end;

  __device__ void write(std::int64_t at, std::int64_t anchor, std::int64_t positive, std::int64_t negative) const {
    if (at >= end) return;
    std::int32_t* triplet = triplets + 3 * at;
    triplet[0] = static_cast<std::int32_t>(anchor);
    triplet[1] = static_cast<std::int32_t>(positive);
    triplet[2] = static_cast<std::int32_t>(negative);
  }
};

__device__ void write_fine(const Anchor& anchor, Place p, Output& output, MatchList<kBlock>& matches) {
  const int limit = anchor.kind(row_of(p));
  for (std::int64_t j0 = 0; j0 < anchor.used && output.next < output.end; j0 += kBlock) {
    const std::int64_t j = j0 + threadIdx.x;
    const int own = anchor.kind(j);
    const int found = matches.collect(own > 0 && own < limit && anchor.place(j) < p);
    if (static_cast<int>(threadIdx.x) < found)
      output.write(output.next + threadIdx.x, anchor.index, row_of(p), j0 + matches.thread[threadIdx.x]);
    output.next += found;
  }
}

/// The coarse triplets of a positive; the anchor has made `drawn` draws before.
__device__ void write_coarse(const MultilabelSemihardArgs& args, const Anchor& anchor, Place p, std::uint32_t candidates,
                             std::int64_t drawn, Output& output, MatchList<kBlock>& matches) {
  const std::int64_t draws = coarse_draws(args, candidates);
  for (std::int64_t k0 = 0; k0 < draws; k0 += kBlock) {
    const std::int64_t k = k0 + threadIdx.x;
    const std::uint32_t rank = k < draws ? coarse_rank(args, anchor.index, drawn + k, candidates) : candidates;
    std::uint32_t before = 0;
    for (std::int64_t j0 = 0; j0 < anchor.used; j0 += kBlock) {
      const std::int64_t j = j0 + threadIdx.x;
      const auto found = static_cast<std::uint32_t>(matches.collect(anchor.kind(j) == 0 && anchor.place(j) < p));
      if (rank - before < found)  // wraps, and fails, where the rank was in an earlier span
        output.write(output.next + k, anchor.index, row_of(p), j0 + matches.thread[rank - before]);
      before += found;
    }
  }
  output.next += draws;
}

__global__ void __launch_bounds__(kBlock) write_kernel(MultilabelSemihardArgs args) {
  __shared__ Place scratch[kWarp + 1];
  __shared__ MatchList<kBlock> matches;
  const std::int64_t used = rows_in_use(args), count = *args.triplet_count;
  const auto* first = static_cast<const std::int64_t*>(args.workspace);
  for (std::int64_t i = blockIdx.x; i < used; i += gridDim.x) {
    const Anchor anchor = look_from(args, i, used);
    Output output{args.triplets, first[i], first[i + 1] < count ? first[i + 1] : count};
    std::int64_t drawn = 0;
    int least = 1;
    Place p = kBehindAll;
    while (output.next < output.end && (p = anchor.farthest_positive(p, least, scratch)) != kNoPlace) {
      const Nearer nearer = anchor.count_nearer(p, scratch);
      if (nearer.fine > 0) write_fine(anchor, p, output, matches);
      if (nearer.zero == 0) least = 2;  // the rest has fine triplets only, which take two shared labels
      if (nearer.zero == 0 || output.next >= output.end) continue;
      write_coarse(args, anchor, p, nearer.zero, drawn, output, matches);
      drawn += coarse_draws(args, nearer.zero);
    }
  }
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kBlock;
  for (std::int64_t k = 3 * count + static_cast<std::int64_t>(blockIdx.x) * kBlock + threadIdx.x; k < 3 * args.capacity;
       k += stride)
    args.triplets[k] = -1;
}

}  // namespace

void multilabel_semihard(const MultilabelSemihardArgs& given, CudaStream exec) {
  MultilabelSemihardArgs args = given;
  if (!args.distance) {
    auto* distance =
        reinterpret_cast<float*>(static_cast<unsigned char*>(args.workspace) + multilabel_semihard_list_bytes(args));
    pairwise_distance({.x = args.x, .distance = distance, .rows = args.rows, .cols = args.cols, .x_ld = args.x_ld}, exec);
    args.distance = distance;
  }
  if (args.rows > 0) launch(count_kernel, grid_for(args.rows, 1), kBlock, 0, exec, args);
  launch(scan_kernel, 1, kScanBlock, 0, exec, args);
  const std::int64_t work = args.rows > 3 * args.capacity / kBlock ? args.rows : 3 * args.capacity / kBlock;
  launch(write_kernel, grid_for(work, 1), kBlock, 0, exec, args);
}

}  // namespace swath::kernels
