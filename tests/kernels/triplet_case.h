// What the cases of the miners' kernels share: rows with classes, and the triplets that a kernel wrote.
#pragma once
#include <array>
#include <optional>

#include "kernels/pairwise_distance.h"
#include "tests/kernels/kernel_case.h"

namespace swath::kernels::test {

using Triplet = std::array<std::int32_t, 3>;
using Triplets = std::vector<Triplet>;

struct MinedRows {
  std::vector<float> distance;  // rows × rows
  std::vector<std::int32_t> row_class;
  std::optional<std::int32_t> row_count;

  std::int64_t rows() const { return static_cast<std::int64_t>(row_class.size()); }
  std::int64_t used() const { return row_count ? std::clamp<std::int64_t>(*row_count, 0, rows()) : rows(); }
};

inline std::vector<float> distances_of(const std::vector<float>& x, std::int64_t rows, std::int64_t cols) {
  std::vector<float> distance(static_cast<std::size_t>(rows * rows));
  pairwise_distance({.x = x.data(), .distance = distance.data(), .rows = rows, .cols = cols, .x_ld = cols}, Cpu{});
  return distance;
}

/// Distances of random rows of 3 columns on a coarse grid: many ties, some duplicates.
inline MinedRows tied_rows(std::int64_t rows, std::uint32_t classes, std::uint64_t seed) {
  std::vector<float> x;
  for (const std::int32_t v : random_ints(rows * 3, seed, 5)) x.push_back(static_cast<float>(v) * 0.25f);
  return {distances_of(x, rows, 3), random_ints(rows, seed + 1, classes), {}};
}

/// A miner's arguments that every miner has, in the memory of the case.
template <class Args>
Args miner_args(CaseMemory& memory, const MinedRows& input, std::uint64_t seed, std::uint64_t step) {
  Args args;
  args.row_class = memory.put(input.row_class);
  args.row_count = input.row_count ? memory.put_one(*input.row_count) : nullptr;
  args.step = memory.put_one(step);
  args.triplets = memory.make_output<std::int32_t>(input.rows() * 3);
  args.triplet_count = memory.make_output<std::int32_t>(1);
  args.rows = input.rows();
  args.seed = seed;
  return args;
}

/// The triplets in use; the others must hold −1.
template <class Args>
Triplets triplets_of(const CaseMemory& memory, const Args& args) {
  const std::vector<std::int32_t> flat = memory.get(args.triplets, args.rows * 3);
  const std::int32_t count = memory.get_one(args.triplet_count);
  Triplets result;
  for (std::int64_t t = 0; t < args.rows; ++t) {
    const Triplet triplet = {flat[3 * t], flat[3 * t + 1], flat[3 * t + 2]};
    if (t < count) {
      result.push_back(triplet);
    } else {
      EXPECT_EQ(triplet, (Triplet{-1, -1, -1}));
    }
  }
  return result;
}

/// Calls visit(triplets) for the triplets of every step on the CPU, with one set of buffers.
template <class Args, class Kernel, class Visit>
void draw_steps(Args args, const MinedRows& input, std::uint64_t steps, const Kernel& kernel, const Visit& visit) {
  std::uint64_t step = 0;
  Triplets triplets(static_cast<std::size_t>(input.rows()));
  std::vector<std::uint64_t> workspace(static_cast<std::size_t>(input.rows()) * 2);  // every miner's is at most this
  std::int32_t count = 0;
  args.row_class = input.row_class.data();
  args.step = &step;
  args.triplets = triplets.data()->data();
  args.triplet_count = &count;
  args.rows = input.rows();
  args.workspace = workspace.data();
  for (; step < steps; ++step) {
    kernel(args, Cpu{});
    visit(Triplets(triplets.begin(), triplets.begin() + count));
  }
}

}  // namespace swath::kernels::test
