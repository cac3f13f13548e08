// Distance-weighted triplets, one per anchor, on the CPU. methods.md §5.
// This file is compiled without contraction: weights have the same bits as in the CUDA twin.
#include "kernels/distance_weighted.h"

#include <algorithm>
#include <limits>

#include "kernels/distance_weight.h"
#include "kernels/parallel.h"
#include "kernels/row_search.h"
#include "kernels/triplet_list.h"

namespace swath::kernels {
namespace {

constexpr std::int32_t kBlock = 256;     // rows whose exponents are in the first-level cache
constexpr std::int32_t kStretches = 64;  // parts of a row whose sums are kept, so that a draw looks at one of them again

/// One anchor's row of the distance matrix, with the rows in use.
struct Anchor {
  const float* distance;
  const std::int32_t* row_class;
  std::int32_t used;
  std::int32_t index;
  std::int32_t own_class;

  bool is_positive(std::int32_t j) const { return (row_class[j] == own_class) & (j != index); }
  bool is_negative(std::int32_t j) const { return (row_class[j] != own_class) & (row_class[j] >= 0); }
};

/// Exponents of the rows from `begin` on, and the largest.
[[gnu::noinline]] float exponents(const Anchor& a, const NegativeWeight& weight, std::int32_t begin, std::int32_t end,
                                  float* out) {
  for (std::int32_t j = begin; j < end; ++j) out[j - begin] = weight.exponent(a.is_negative(j), a.distance[j]);
  float largest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : largest)
  for (std::int32_t j = 0; j < end - begin; ++j) largest = out[j] > largest ? out[j] : largest;
  return largest;
}

[[gnu::noinline]] std::uint64_t sum_weights(const float* exponent, std::int32_t count, float largest, std::int32_t* weights) {
  for (std::int32_t j = 0; j < count; ++j) weights[j] = integer_weight(exponent[j], largest);
  std::uint64_t sum = 0;
  for (std::int32_t j = 0; j < count; ++j) sum += static_cast<std::uint32_t>(weights[j]);
  return sum;
}

float largest_exponent(const Anchor& a, const NegativeWeight& weight) {
  float exponent[kBlock], largest = -std::numeric_limits<float>::infinity();
  for (std::int32_t begin = 0; begin < a.used; begin += kBlock) {
    largest = std::max(largest, exponents(a, weight, begin, std::min(a.used, begin + kBlock), exponent));
  }
  return largest;
}

/// Draws a negative by its weight; −1 if none has any.
std::int32_t draw_negative(const Anchor& a, const NegativeWeight& weight, const Philox4& random) {
  const float largest = largest_exponent(a, weight);
  float exponent[kBlock];
  std::int32_t weights[kBlock];
  const auto weigh = [&](std::int32_t begin, std::int32_t end) {
    exponents(a, weight, begin, end, exponent);
    return sum_weights(exponent, end - begin, largest, weights);
  };
  const std::int32_t stretch = (a.used / kBlock / kStretches + 1) * kBlock;
  std::uint64_t sums[kStretches], total = 0;
  for (std::int32_t s = 0; s * stretch < a.used; ++s) {
    sums[s] = 0;
    const std::int32_t end = std::min(a.used, (s + 1) * stretch);
    for (std::int32_t j = s * stretch; j < end; j += kBlock) sums[s] += weigh(j, std::min(end, j + kBlock));
    total += sums[s];
  }
  if (total == 0) return -1;
  std::uint64_t rest = uniform_below(random.v[1], random.v[2], total);
  std::int32_t s = 0;
  for (; rest >= sums[s]; ++s) rest -= sums[s];
  for (std::int32_t begin = s * stretch;; begin += kBlock) {
    const std::uint64_t sum = weigh(begin, std::min(a.used, begin + kBlock));
    if (rest >= sum) {
      rest -= sum;
      continue;
    }
    std::int32_t j = 0;
    for (; rest >= static_cast<std::uint32_t>(weights[j]); ++j) rest -= static_cast<std::uint32_t>(weights[j]);
    return begin + j;
  }
}

/// The anchor's positive and negative, −1 each when the anchor yields nothing.
void mine(const Anchor& a, const NegativeWeight& weight, const Philox4& random, std::int32_t* partners) {
  const auto is_positive = [&](std::int32_t j) { return a.is_positive(j); };
  const auto is_negative = [&](std::int32_t j) { return a.is_negative(j); };
  partners[0] = partners[1] = -1;
  const std::uint32_t positives = count_rows(0, a.used, is_positive), negatives = count_rows(0, a.used, is_negative);
  if (positives == 0 || negatives == 0) return;
  partners[0] = find_row(a.used, uniform_below(random.v[0], positives), is_positive);
  partners[1] = draw_negative(a, weight, random);
  if (partners[1] < 0) partners[1] = find_row(a.used, uniform_below(random.v[1], negatives), is_negative);
}

}  // namespace

std::size_t distance_weighted_workspace(const DistanceWeightedArgs& args) {
  return static_cast<std::size_t>(args.rows) * 2 * sizeof(std::int32_t);
}

void distance_weighted(const DistanceWeightedArgs& args, Cpu exec) {
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  auto* partners = static_cast<std::int32_t*>(args.workspace);
  const NegativeWeight weight(args);
  parallel_for(
      used,
      [&](std::int64_t i) {
        partners[2 * i] = partners[2 * i + 1] = -1;
        if (args.row_class[i] < 0) return;
        const Anchor anchor{args.distance + i * args.rows, args.row_class, static_cast<std::int32_t>(used),
                            static_cast<std::int32_t>(i), args.row_class[i]};
        mine(anchor, weight, philox(args.seed, *args.step, args.stream, static_cast<std::uint64_t>(i)), partners + 2 * i);
      },
      serial_below_for(16 * used));
  triplet_list({.partners = partners,
                .row_count = args.row_count,
                .triplets = args.triplets,
                .triplet_count = args.triplet_count,
                .rows = args.rows},
               exec);
}

}  // namespace swath::kernels
