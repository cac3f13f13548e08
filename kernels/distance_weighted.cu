// Distance-weighted triplets, one per anchor, on CUDA: a warp an anchor, then the list of triplets. methods.md §5.
#include "kernels/aligned.cuh"
#include "kernels/distance_weight.h"
#include "kernels/distance_weighted.h"
#include "kernels/launch.cuh"
#include "kernels/row_search.cuh"
#include "kernels/triplet_list.h"

namespace swath::kernels {
namespace {

constexpr int kBlock = 128;
constexpr int kWarps = kBlock / kWarp;
constexpr int kPerLane = 4;  // consecutive rows a lane looks at
constexpr int kPerWarp = kPerLane * kWarp;

/// What a lane reads of one anchor: distances and classes of 4 rows; those past the end have class −1.
struct Rows {
  float distance[kPerLane];
  std::int32_t row_class[kPerLane];
};

/// A warp's view of one anchor.
template <int kWidth>
struct Anchor {
  const float* distance;
  const std::int32_t* row_class;
  std::int64_t used;
  std::int64_t index;
  std::int32_t own_class;

  __device__ Rows at(std::int64_t j) const {
    Rows rows = {};
    if constexpr (kWidth == 4) {
      if (j < used) {
        const float4 d = *reinterpret_cast<const float4*>(distance + j);
        const int4 c = *reinterpret_cast<const int4*>(row_class + j);
        rows = {{d.x, d.y, d.z, d.w}, {c.x, c.y, c.z, c.w}};
      }
    } else {
#pragma unroll
      for (int e = 0; e < kPerLane; ++e) {
        if (j + e < used) {
          rows.distance[e] = distance[j + e];
          rows.row_class[e] = row_class[j + e];
        }
      }
    }
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) {
      if (j + e >= used) rows.row_class[e] = -1;
    }
    return rows;
  }

  __device__ bool is_positive(const Rows& rows, std::int64_t j, int e) const {
    return rows.row_class[e] == own_class && j + e != index;
  }
  __device__ bool is_negative(const Rows& rows, int e) const {
    return rows.row_class[e] >= 0 && rows.row_class[e] != own_class;
  }
};

/// The first row at which the running sum of weights, over ascending rows, exceeds `rest`, which is below their total.
/// `weigh(rows, j, weight)` gives the weights of the 4 rows from j on. The whole warp gets the result.
template <int kWidth, class Weigh>
__device__ std::int32_t find_weighted(const Anchor<kWidth>& anchor, std::uint64_t rest, const Weigh& weigh) {
  const int lane = threadIdx.x % kWarp;
  for (std::int64_t begin = 0; begin < anchor.used; begin += kPerWarp) {
    const std::int64_t j = begin + kPerLane * lane;
    std::uint32_t weight[kPerLane];
    weigh(anchor.at(j), j, weight);
    unsigned long long sum[kPerLane], through = 0;
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) sum[e] = through += weight[e];
    for (int offset = 1; offset < kWarp; offset *= 2) {
      const unsigned long long before = __shfl_up_sync(0xffffffffu, through, offset);
      if (lane >= offset) through += before;
    }
    const unsigned beyond = __ballot_sync(0xffffffffu, rest < through);
    if (beyond != 0) {
      const unsigned long long before = through - sum[kPerLane - 1];
      int e = 0;
#pragma unroll
      for (int k = 0; k < kPerLane - 1; ++k) e += before + sum[k] <= rest ? 1 : 0;
      return __shfl_sync(0xffffffffu, static_cast<std::int32_t>(j) + e, __ffs(static_cast<int>(beyond)) - 1);
    }
    rest -= __shfl_sync(0xffffffffu, through, kWarp - 1);
  }
  return -1;
}

/// Draws a negative by its weight, uniformly if none has any.
template <int kWidth>
__device__ std::int32_t draw_negative(const Anchor<kWidth>& anchor, const NegativeWeight& weight, const Philox4& random,
                                      std::uint32_t negatives) {
  const std::int64_t first = kPerLane * (threadIdx.x % kWarp);
  float largest = -INFINITY;
  for (std::int64_t j = first; j < anchor.used; j += kPerWarp) {
    const Rows rows = anchor.at(j);
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) {
      if (anchor.is_negative(rows, e)) largest = fmaxf(largest, weight.exponent(true, rows.distance[e]));
    }
  }
  largest = warp_reduce(largest, MaxOp{});
  const auto weigh = [&](const Rows& rows, std::int64_t, std::uint32_t(&out)[kPerLane]) {
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) {
      out[e] = 0;
      if (anchor.is_negative(rows, e)) {
        out[e] = static_cast<std::uint32_t>(integer_weight(weight.exponent(true, rows.distance[e]), largest));
      }
    }
  };
  unsigned long long total = 0;
  for (std::int64_t j = first; j < anchor.used; j += kPerWarp) {
    std::uint32_t weights[kPerLane];
    weigh(anchor.at(j), j, weights);
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) total += weights[e];
  }
  total = warp_reduce(total, SumOp{});
  if (total > 0) return find_weighted(anchor, uniform_below(random.v[1], random.v[2], total), weigh);
  return find_weighted(anchor, uniform_below(random.v[1], negatives),
                       [&](const Rows& rows, std::int64_t, std::uint32_t(&out)[kPerLane]) {
#pragma unroll
                         for (int e = 0; e < kPerLane; ++e) out[e] = anchor.is_negative(rows, e) ? 1 : 0;
                       });
}

/// Writes the anchor's positive and negative, −1 each when it yields nothing.
template <int kWidth>
__device__ void mine(const Anchor<kWidth>& anchor, const NegativeWeight& weight, const Philox4& random,
                     std::int32_t* partners) {
  const std::int64_t lane = threadIdx.x % kWarp;
  std::uint32_t positives = 0, negatives = 0;
  for (std::int64_t j = kPerLane * lane; j < anchor.used; j += kPerWarp) {
    const Rows rows = anchor.at(j);
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) {
      positives += anchor.is_positive(rows, j, e) ? 1 : 0;
      negatives += anchor.is_negative(rows, e) ? 1 : 0;
    }
  }
  positives = warp_reduce(positives, SumOp{});
  negatives = warp_reduce(negatives, SumOp{});
  std::int32_t positive = -1, negative = -1;
  if (positives > 0 && negatives > 0) {
    positive = find_weighted(anchor, uniform_below(random.v[0], positives),
                             [&](const Rows& rows, std::int64_t j, std::uint32_t(&out)[kPerLane]) {
#pragma unroll
                               for (int e = 0; e < kPerLane; ++e) out[e] = anchor.is_positive(rows, j, e) ? 1 : 0;
                             });
    negative = draw_negative(anchor, weight, random, negatives);
  }
  if (lane == 0) partners[0] = positive;
  if (lane == 1) partners[1] = negative;
}

template <int kWidth>
__global__ void __launch_bounds__(kBlock) distance_weighted_kernel(DistanceWeightedArgs args) {
  const std::int64_t used = rows_in_use(args.row_count, args.rows), stride = static_cast<std::int64_t>(gridDim.x) * kWarps;
  auto* partners = static_cast<std::int32_t*>(args.workspace);
  const NegativeWeight weight(args);
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < used; i += stride) {
    Anchor<kWidth> anchor{args.distance + i * args.rows, args.row_class, used, i, args.row_class[i]};
    if (anchor.own_class < 0) anchor.used = 0;
    mine(anchor, weight, philox(args.seed, *args.step, args.stream, static_cast<std::uint64_t>(i)), partners + 2 * i);
  }
}

}  // namespace

void distance_weighted(const DistanceWeightedArgs& args, CudaStream exec) {
  if (args.rows > 0) {
    const bool wide = quads(args.rows, args.distance, args.rows) && reinterpret_cast<std::uintptr_t>(args.row_class) % 16 == 0;
    launch(wide ? distance_weighted_kernel<4> : distance_weighted_kernel<1>, grid_for(args.rows, kWarps), kBlock, 0, exec,
           args);
  }
  triplet_list(triplet_list_of(args), exec);
}

}  // namespace swath::kernels
