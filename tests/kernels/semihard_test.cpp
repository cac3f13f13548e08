// Cases of semihard. methods.md §5 "Semihard".
#include "kernels/semihard.h"

#include <optional>

#include "kernels/pairwise_distance.h"
#include "tests/kernels/chi_square.h"
#include "tests/kernels/kernel_case.h"
#include "tests/reference/semihard.h"

namespace swath::kernels::test {
namespace {

class SemihardTest : public KernelTest {};

using Triplets = std::vector<std::array<std::int32_t, 3>>;

struct Input {
  std::vector<float> distance;  // rows × rows
  std::vector<std::int32_t> row_class;
  std::optional<std::int32_t> row_count;
  std::int64_t rows() const { return static_cast<std::int64_t>(row_class.size()); }
};

/// Distances of random rows of 3 columns on a coarse grid: many ties, some duplicates.
Input make_input(std::int64_t rows, std::uint32_t classes, std::uint64_t seed) {
  std::vector<float> x;
  for (const std::int32_t v : random_ints(rows * 3, seed, 5)) x.push_back(static_cast<float>(v) * 0.25f);
  Input input{std::vector<float>(static_cast<std::size_t>(rows * rows)), random_ints(rows, seed + 1, classes), {}};
  const PairwiseDistanceArgs args{.x = x.data(), .distance = input.distance.data(), .rows = rows, .cols = 3, .x_ld = 3};
  pairwise_distance(args, Cpu{});
  return input;
}

Triplets run(Place place, const Input& input, std::uint64_t seed, std::uint64_t step) {
  CaseMemory memory(place);
  const std::int64_t rows = input.rows();
  auto* triplets = memory.make_output<std::int32_t>(rows * 3);
  auto* count = memory.make_output<std::int32_t>(1);
  SemihardArgs args{.distance = memory.put(input.distance),
                    .row_class = memory.put(input.row_class),
                    .row_count = input.row_count ? memory.put_one(*input.row_count) : nullptr,
                    .step = memory.put_one(step),
                    .triplets = triplets,
                    .triplet_count = count,
                    .rows = rows,
                    .seed = seed};
  args.workspace = memory.make_workspace(semihard_workspace(args));
  memory.run([&](auto exec) { semihard(args, exec); });
  const std::vector<std::int32_t> flat = memory.get(triplets, rows * 3);
  Triplets result;
  for (std::int64_t t = 0; t < rows; ++t) {
    const std::array<std::int32_t, 3> triplet = {flat[3 * t], flat[3 * t + 1], flat[3 * t + 2]};
    if (t < memory.get_one(count)) {
      result.push_back(triplet);
    } else {
      EXPECT_EQ(triplet, (std::array<std::int32_t, 3>{-1, -1, -1}));
    }
  }
  return result;
}

void expect_reference(Place place, const Input& input) {
  const std::int64_t used = input.row_count ? std::min<std::int64_t>(*input.row_count, input.rows()) : input.rows();
  for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{5'000'000'007}}) {
    EXPECT_EQ(run(place, input, 17, step), reference::semihard(input.distance, input.rows(), input.row_class, used, 17, step));
  }
}

TEST_P(SemihardTest, MatchesReference) {
  for (const std::int64_t rows : {0, 1, 2, 31, 32, 33, 63, 127, 128, 129, 300}) {
    for (const std::uint32_t classes : {1u, 2u, 7u, 60u}) {
      SCOPED_TRACE(::testing::Message() << rows << " rows, " << classes << " classes");
      expect_reference(GetParam(), make_input(rows, classes, 51 + classes));
    }
  }
}

TEST_P(SemihardTest, MoreRowsThanOneBlockCompacts) { expect_reference(GetParam(), make_input(600, 250, 52)); }

TEST_P(SemihardTest, UnusedRowsAndRowsWithoutClassTakeNoPart) {
  Input input = make_input(90, 5, 53);
  for (std::size_t i = 0; i < input.row_class.size(); i += 7) input.row_class[i] = -1;
  for (const std::int32_t count : {0, 1, 50, 90, 1000}) {
    input.row_count = count;
    expect_reference(GetParam(), input);
  }
  input.row_class.assign(90, -1);
  EXPECT_TRUE(run(GetParam(), input, 1, 1).empty());
}

TEST_P(SemihardTest, AllRowsEqual) {
  Input input = make_input(40, 3, 54);
  std::fill(input.distance.begin(), input.distance.end(), 0.0f);
  expect_reference(GetParam(), input);
}

TEST_P(SemihardTest, FallsBackWhenClassesAreFarApart) {
  Input input = make_input(40, 2, 55);
  for (std::int64_t i = 0; i < 40; ++i) {
    for (std::int64_t j = 0; j < 40; ++j) {
      if (input.row_class[i] != input.row_class[j]) input.distance[i * 40 + j] += 100.0f;
    }
  }
  expect_reference(GetParam(), input);
  EXPECT_EQ(run(GetParam(), input, 1, 1).size(), 40u);
}

/// The draws of one anchor over many steps are uniform over its candidates: all combinations of positive and negative.
TEST(SemihardDistribution, DrawsAreUniform) {
  const Input input = make_input(24, 3, 56);
  const std::int32_t anchor = 5;
  const reference::Candidates c = reference::semihard_candidates(input.distance, 24, input.row_class, 24, anchor);
  ASSERT_GT(c.positives.size(), 1u);
  ASSERT_GT(c.negatives.size(), 3u);
  std::vector<std::int64_t> counts(c.positives.size() * c.negatives.size(), 0);
  for (std::uint64_t step = 0; step < 40 * counts.size(); ++step) {
    for (const auto& t : run(Place::cpu, input, 8, step)) {
      if (t[0] != anchor) continue;
      const auto p = std::find(c.positives.begin(), c.positives.end(), t[1]) - c.positives.begin();
      const auto n = std::find(c.negatives.begin(), c.negatives.end(), t[2]) - c.negatives.begin();
      ++counts.at(static_cast<std::size_t>(p) * c.negatives.size() + static_cast<std::size_t>(n));
    }
  }
  expect_uniform(counts);
}

SWATH_KERNEL_PLACES(SemihardTest);

}  // namespace
}  // namespace swath::kernels::test
