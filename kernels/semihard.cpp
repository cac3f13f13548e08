// Semihard triplets, one per anchor, on the CPU. methods.md §5.
#include "kernels/semihard.h"

#include <algorithm>
#include <limits>

#include "kernels/anchor_rows.h"
#include "kernels/philox.h"
#include "kernels/row_search.h"

namespace swath::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

/// The distances that bound an anchor's candidate sets.
struct Bounds {
  float farthest_positive = -kInf;
  float nearest_negative = kInf;
};

Bounds find_bounds(const Anchor& a) {
  const float* distance = a.distance;
  const std::int32_t* row_class = a.row_class;
  const std::int32_t own_class = a.own_class;
  float far = -kInf, near = kInf;
  const auto visit = [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd reduction(max : far) reduction(min : near)
    for (std::int64_t j = begin; j < end; ++j) {
      const bool same = row_class[j] == own_class;
      const float as_positive = same ? distance[j] : -kInf;
      const float as_negative = !same & (row_class[j] >= 0) ? distance[j] : kInf;
      far = as_positive > far ? as_positive : far;
      near = as_negative < near ? as_negative : near;
    }
  };
  visit(0, a.index);
  visit(a.index + 1, a.used);
  return {far, near};
}

/// Draws uniformly among the rows that `preferred` admits, else among those that `any` admits; −1 if there are none.
template <class Preferred, class Any>
std::int32_t draw_preferred(const Anchor& a, std::uint32_t bits, const Preferred& preferred, const Any& any) {
  const std::int32_t row = draw_row(a.used, a.index, bits, preferred);
  return row >= 0 ? row : draw_row(a.used, a.index, bits, any);
}

/// The anchor's positive and negative, −1 each when the anchor yields nothing.
void mine(const Anchor& a, const Philox4& random, std::int32_t* partners) {
  const Bounds bounds = find_bounds(a);
  const float* distance = a.distance;
  const std::int32_t* row_class = a.row_class;
  const std::int32_t own_class = a.own_class;
  partners[0] = draw_preferred(
      a, random.v[0], [=](std::int32_t j) { return (row_class[j] == own_class) & (distance[j] > bounds.nearest_negative); },
      [=](std::int32_t j) { return row_class[j] == own_class; });
  partners[1] = draw_preferred(
      a, random.v[1],
      [=](std::int32_t j) {
        return (row_class[j] != own_class) & (row_class[j] >= 0) & (distance[j] < bounds.farthest_positive);
      },
      [=](std::int32_t j) { return (row_class[j] != own_class) & (row_class[j] >= 0); });
  if (partners[0] < 0 || partners[1] < 0) partners[0] = partners[1] = -1;
}

}  // namespace

std::size_t semihard_workspace(const SemihardArgs& args) { return partners_bytes(args.rows); }

void semihard(const SemihardArgs& args, Cpu) {
  mine_anchors(args, 2, [&](const Anchor& anchor, std::int32_t* partners) {
    mine(anchor, philox(args.seed, *args.step, RandomStream::miner, static_cast<std::uint64_t>(anchor.index)), partners);
  });
}

}  // namespace swath::kernels
