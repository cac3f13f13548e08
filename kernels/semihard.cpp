// Semihard triplets, one per anchor, on the CPU. methods.md §5.
#include "kernels/semihard.h"

#include <algorithm>
#include <limits>

#include "kernels/lanes.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"
#include "kernels/row_search.h"
#include "kernels/triplet_list.h"

namespace swath::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

/// One anchor's row of the distance matrix, with the rows in use.
struct Anchor {
  const float* distance;
  const std::int32_t* row_class;
  std::int32_t used;
  std::int32_t index;
  std::int32_t own_class;
};

/// The distances that bound an anchor's candidate sets.
struct Bounds {
  float farthest_positive = -kInf;
  float nearest_negative = kInf;
};

Bounds find_bounds(const Anchor& a) {
  float far[kLanes], near[kLanes];
  std::fill_n(far, kLanes, -kInf);
  std::fill_n(near, kLanes, kInf);
  const auto visit = [&](std::int32_t j, int lane) {
    const float d = a.distance[j];
    const bool same = a.row_class[j] == a.own_class;
    const float as_positive = same && j != a.index ? d : -kInf;
    const float as_negative = !same && a.row_class[j] >= 0 ? d : kInf;
    far[lane] = as_positive > far[lane] ? as_positive : far[lane];
    near[lane] = as_negative < near[lane] ? as_negative : near[lane];
  };
  const std::int32_t whole = a.used / kLanes * kLanes;
  for (std::int32_t j = 0; j < whole; j += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) visit(j + lane, lane);
  }
  for (std::int32_t j = whole; j < a.used; ++j) visit(j, j - whole);
  return {*std::max_element(far, far + kLanes), *std::min_element(near, near + kLanes)};
}

/// Draws uniformly among the rows that `preferred` admits, else among those that `any` admits; −1 if there are none.
template <class Preferred, class Any>
std::int32_t draw_row(std::int32_t used, std::uint32_t bits, const Preferred& preferred, const Any& any) {
  const auto both = [&](std::int32_t j) { return any(j) & preferred(j); };
  const std::uint32_t preferred_count = count_rows(0, used, both);
  if (preferred_count > 0) return find_row(used, uniform_below(bits, preferred_count), both);
  const std::uint32_t count = count_rows(0, used, any);
  return count > 0 ? find_row(used, uniform_below(bits, count), any) : -1;
}

/// The anchor's positive and negative, −1 each when the anchor yields nothing.
void mine(const Anchor& a, const Philox4& random, std::int32_t* positive, std::int32_t* negative) {
  const Bounds bounds = find_bounds(a);
  *positive = draw_row(
      a.used, random.v[0], [&](std::int32_t j) { return a.distance[j] > bounds.nearest_negative; },
      [&](std::int32_t j) { return (a.row_class[j] == a.own_class) & (j != a.index); });
  *negative = draw_row(
      a.used, random.v[1], [&](std::int32_t j) { return a.distance[j] < bounds.farthest_positive; },
      [&](std::int32_t j) { return (a.row_class[j] != a.own_class) & (a.row_class[j] >= 0); });
  if (*positive < 0 || *negative < 0) *positive = *negative = -1;
}

}  // namespace

std::size_t semihard_workspace(const SemihardArgs& args) {
  return static_cast<std::size_t>(args.rows) * 2 * sizeof(std::int32_t);
}

void semihard(const SemihardArgs& args, Cpu exec) {
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  auto* partners = static_cast<std::int32_t*>(args.workspace);
  parallel_for(
      used,
      [&](std::int64_t i) {
        partners[2 * i] = partners[2 * i + 1] = -1;
        if (args.row_class[i] < 0) return;
        const Anchor anchor{args.distance + i * args.rows, args.row_class, static_cast<std::int32_t>(used),
                            static_cast<std::int32_t>(i), args.row_class[i]};
        mine(anchor, philox(args.seed, *args.step, RandomStream::miner, static_cast<std::uint64_t>(i)), partners + 2 * i,
             partners + 2 * i + 1);
      },
      serial_below_for(2 * used));
  triplet_list({.partners = partners,
                .row_count = args.row_count,
                .triplets = args.triplets,
                .triplet_count = args.triplet_count,
                .rows = args.rows},
               exec);
}

}  // namespace swath::kernels
