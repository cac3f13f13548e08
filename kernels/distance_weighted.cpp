// Distance-weighted triplets, one per anchor, on the CPU. methods.md §5.
// This file is compiled without contraction: weights have the same bits as in the CUDA twin.
#include "kernels/distance_weighted.h"

#include <algorithm>
#include <limits>

#include "kernels/anchor_rows.h"
#include "kernels/distance_weight.h"
#include "kernels/philox.h"
#include "kernels/row_search.h"

namespace swath::kernels {
namespace {

constexpr std::int32_t kStretch = 4096;  // rows whose weights are kept; only beyond it are any computed again

/// Rows begin … begin + count of an anchor: exponents first, then weights.
struct Stretch {
  std::int32_t begin = 0, count = 0;
  float exponent[kStretch];
  std::int32_t weight[kStretch];
};

/// Returns the largest exponent.
float find_exponents(const Anchor& a, const NegativeWeight& weight, std::int32_t begin, Stretch& stretch) {
  stretch.begin = begin;
  stretch.count = std::min(kStretch, a.used - begin);
  const float* distance = a.distance + begin;
  const std::int32_t* row_class = a.row_class + begin;
  const std::int32_t own_class = a.own_class;
  const NegativeWeight by_distance = weight;
  float largest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : largest)
  for (std::int32_t k = 0; k < stretch.count; ++k) {
    const bool negative = (row_class[k] != own_class) & (row_class[k] >= 0);
    const float exponent = by_distance.exponent(negative, distance[k]);
    stretch.exponent[k] = exponent;
    largest = exponent > largest ? exponent : largest;
  }
  return largest;
}

/// Returns the sum of the weights.
std::uint64_t find_weights(float largest, Stretch& stretch) {
  std::uint64_t sum = 0;
  for (std::int32_t k = 0; k < stretch.count; ++k) {
    stretch.weight[k] = integer_weight(stretch.exponent[k], largest);
    sum += static_cast<std::uint32_t>(stretch.weight[k]);
  }
  return sum;
}

/// The first row of a stretch at which the running sum of weights exceeds `rest`, which is below their total.
std::int32_t find_weighted(const Stretch& stretch, std::uint64_t rest) {
  constexpr std::int32_t kBlock = 128;
  for (std::int32_t begin = 0;; begin += kBlock) {
    std::uint64_t sum = 0;
    const std::int32_t end = std::min(stretch.count, begin + kBlock);
    for (std::int32_t k = begin; k < end; ++k) sum += static_cast<std::uint32_t>(stretch.weight[k]);
    if (rest >= sum) {
      rest -= sum;
      continue;
    }
    std::int32_t k = begin;
    for (; rest >= static_cast<std::uint32_t>(stretch.weight[k]); ++k) rest -= static_cast<std::uint32_t>(stretch.weight[k]);
    return stretch.begin + k;
  }
}

/// Draws a negative by its weight; −1 if none has any.
std::int32_t draw_negative(const Anchor& a, const NegativeWeight& weight, const Philox4& random) {
  Stretch stretch;
  float largest = -std::numeric_limits<float>::infinity();
  for (std::int32_t begin = 0; begin < a.used; begin += kStretch) {
    largest = std::max(largest, find_exponents(a, weight, begin, stretch));
  }
  const auto weigh = [&](std::int32_t begin) {
    if (begin != stretch.begin) find_exponents(a, weight, begin, stretch);
    return find_weights(largest, stretch);
  };
  std::uint64_t total = 0;
  for (std::int32_t begin = 0; begin < a.used; begin += kStretch) total += weigh(begin);
  if (total == 0) return -1;
  std::uint64_t rest = uniform_below(random.v[1], random.v[2], total);
  if (a.used <= kStretch) return find_weighted(stretch, rest);
  for (std::int32_t begin = 0;; begin += kStretch) {
    const std::uint64_t sum = weigh(begin);
    if (rest < sum) return find_weighted(stretch, rest);
    rest -= sum;
  }
}

/// The anchor's positive and negative, −1 each when the anchor yields nothing.
void mine(const Anchor& a, const NegativeWeight& weight, const Philox4& random, std::int32_t* partners) {
  const std::int32_t* row_class = a.row_class;
  const std::int32_t own_class = a.own_class;
  const auto is_negative = [=](std::int32_t j) { return (row_class[j] != own_class) & (row_class[j] >= 0); };
  partners[0] = draw_row(a.used, a.index, random.v[0], [=](std::int32_t j) { return row_class[j] == own_class; });
  partners[1] = partners[0] < 0 ? -1 : draw_negative(a, weight, random);
  if (partners[0] >= 0 && partners[1] < 0) partners[1] = draw_row(a.used, a.index, random.v[1], is_negative);
  if (partners[1] < 0) partners[0] = -1;
}

}  // namespace

std::size_t distance_weighted_workspace(const DistanceWeightedArgs& args) { return partners_bytes(args.rows); }

void distance_weighted(const DistanceWeightedArgs& args, Cpu) {
  const NegativeWeight weight(args);
  mine_anchors(args, 16, [&](const Anchor& anchor, std::int32_t* partners) {
    mine(anchor, weight, philox(args.seed, *args.step, args.stream, static_cast<std::uint64_t>(anchor.index)), partners);
  });
}

}  // namespace swath::kernels
