// Semihard triplets, one per anchor, on CUDA: a warp an anchor, then the list of triplets. methods.md §5.
#include "kernels/launch.cuh"
#include "kernels/philox.h"
#include "kernels/row_search.cuh"
#include "kernels/semihard.h"
#include "kernels/triplet_list.h"

namespace swath::kernels {
namespace {

constexpr int kBlock = 128;
constexpr int kWarps = kBlock / kWarp;

/// A warp's view of one anchor. Lanes look at 32 rows at a time; ballots count candidates in ascending row order.
struct Anchor {
  const float* distance;
  const std::int32_t* row_class;
  std::int64_t used;
  std::int64_t index;
  std::int32_t own_class;
  float farthest_positive;
  float nearest_negative;

  struct Candidate {
    bool positive, negative, far_positive, near_negative;
  };

  __device__ Candidate at(std::int64_t j) const {
    if (j >= used) return {};
    const std::int32_t other = row_class[j];
    const float d = distance[j];
    const bool positive = other == own_class && j != index, negative = other != own_class && other >= 0;
    return {positive, negative, positive && d > nearest_negative, negative && d < farthest_positive};
  }

  __device__ void find_bounds() {
    float far = -INFINITY, near = INFINITY;
    for (std::int64_t j = threadIdx.x % kWarp; j < used; j += kWarp) {
      const Candidate candidate = at(j);
      const float d = distance[j];
      if (candidate.positive && d > far) far = d;
      if (candidate.negative && d < near) near = d;
    }
    farthest_positive = warp_reduce(far, MaxOp{});
    nearest_negative = warp_reduce(near, MinOp{});
  }
};

/// Writes the anchor's positive and negative, −1 each when it yields nothing.
__device__ void mine(const Anchor& anchor, const Philox4& random, std::int32_t* partners) {
  const std::int64_t lane = threadIdx.x % kWarp;
  std::uint32_t positives = 0, negatives = 0, far_positives = 0, near_negatives = 0;
  for (std::int64_t j0 = 0; j0 < anchor.used; j0 += kWarp) {
    const Anchor::Candidate candidate = anchor.at(j0 + lane);
    positives += count_lanes(candidate.positive);
    negatives += count_lanes(candidate.negative);
    far_positives += count_lanes(candidate.far_positive);
    near_negatives += count_lanes(candidate.near_negative);
  }
  std::int32_t positive = -1, negative = -1;
  if (positives > 0 && negatives > 0) {
    std::uint32_t positive_rank = uniform_below(random.v[0], far_positives > 0 ? far_positives : positives);
    std::uint32_t negative_rank = uniform_below(random.v[1], near_negatives > 0 ? near_negatives : negatives);
    for (std::int64_t j0 = 0; j0 < anchor.used && (positive < 0 || negative < 0); j0 += kWarp) {
      const Anchor::Candidate candidate = anchor.at(j0 + lane);
      const int p = find_lane(far_positives > 0 ? candidate.far_positive : candidate.positive, positive_rank);
      const int n = find_lane(near_negatives > 0 ? candidate.near_negative : candidate.negative, negative_rank);
      if (positive < 0 && p >= 0) positive = static_cast<std::int32_t>(j0 + p);
      if (negative < 0 && n >= 0) negative = static_cast<std::int32_t>(j0 + n);
    }
  }
  if (lane == 0) partners[0] = positive;
  if (lane == 1) partners[1] = negative;
}

__global__ void __launch_bounds__(kBlock) semihard_kernel(SemihardArgs args) {
  const std::int64_t used = rows_in_use(args.row_count, args.rows), stride = static_cast<std::int64_t>(gridDim.x) * kWarps;
  auto* partners = static_cast<std::int32_t*>(args.workspace);
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < used; i += stride) {
    Anchor anchor{args.distance + i * args.rows, args.row_class, used, i, args.row_class[i], -INFINITY, INFINITY};
    if (anchor.own_class < 0) anchor.used = 0;
    anchor.find_bounds();
    mine(anchor, philox(args.seed, *args.step, RandomStream::miner, static_cast<std::uint64_t>(i)), partners + 2 * i);
  }
}

}  // namespace

void semihard(const SemihardArgs& args, CudaStream exec) {
  if (args.rows > 0) launch(semihard_kernel, grid_for(args.rows, kWarps), kBlock, 0, exec, args);
  triplet_list(triplet_list_of(args), exec);
}

}  // namespace swath::kernels
