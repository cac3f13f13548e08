// Cases of distance_weighted. methods.md §5 "Distance-weighted".
#include "kernels/distance_weighted.h"

#include <numeric>

#include "tests/kernels/chi_square.h"
#include "tests/kernels/triplet_case.h"
#include "tests/reference/distance_weighted.h"
#include "tests/reference/rows.h"

namespace swath::kernels::test {
namespace {

class DistanceWeightedTest : public KernelTest {};

using Candidates = reference::WeightedCandidates<double>;
using reference::DensityOptions;

/// Distances of random unit rows.
MinedRows sphere_rows(std::int64_t rows, std::uint32_t classes, std::int64_t cols, std::uint64_t seed) {
  const std::vector<float> x = reference::unit_rows(random_floats(rows * cols, seed), rows, cols);
  return {distances_of(x, rows, cols), random_ints(rows, seed + 1, classes), {}};
}

Triplets run(Place place, const MinedRows& input, const DensityOptions& options, std::uint64_t seed, std::uint64_t step,
             RandomStream stream = RandomStream::miner, std::size_t misalign = 0) {
  CaseMemory memory(place);
  auto args = miner_args<DistanceWeightedArgs>(memory, input, seed, step);
  args.distance = memory.put(input.distance, misalign);
  args.width = options.width;
  args.lower_cutoff = options.lower_cutoff;
  args.upper_cutoff = options.upper_cutoff;
  args.stream = stream;
  args.workspace = memory.make_workspace(distance_weighted_workspace(args));
  memory.run([&](auto exec) { distance_weighted(args, exec); });
  return triplets_of(memory, args);
}

template <class T>
std::vector<T> running_sums(const std::vector<T>& probability) {
  std::vector<T> sums{T(0)};
  for (const T p : probability) sums.push_back(sums.back() + p);
  return sums;
}

/// Every anchor draws the positive and the negative that its random numbers prescribe. The negative's number may miss the
/// interval of the double reference by 4 times the error of a naive float loop, + 1e-7.
void expect_reference(const MinedRows& input, const DensityOptions& options, const Triplets& triplets, std::uint64_t seed,
                      std::uint64_t step) {
  std::size_t t = 0;
  for (std::int32_t i = 0; i < input.used(); ++i) {
    const auto used_end = input.row_class.begin() + input.used();
    if (std::count(input.row_class.begin(), used_end, input.row_class[i]) < 2) continue;  // no positive
    const Candidates c =
        reference::weighted_candidates<double>(input.distance, input.rows(), input.row_class, input.used(), i, options);
    if (c.positives.empty() || c.negatives.empty()) continue;
    ASSERT_LT(t, triplets.size());
    const Triplet triplet = triplets[t++];
    const Philox4 r = philox(seed, step, RandomStream::miner, static_cast<std::uint64_t>(i));
    EXPECT_EQ(triplet[0], i);
    EXPECT_EQ(triplet[1], c.positives[(std::uint64_t{r.v[0]} * c.positives.size()) >> 32]);
    const auto n =
        static_cast<std::size_t>(std::find(c.negatives.begin(), c.negatives.end(), triplet[2]) - c.negatives.begin());
    ASSERT_LT(n, c.negatives.size()) << "anchor " << i;
    const std::vector<double> sums = running_sums(c.probability);
    const std::vector<float> naive = running_sums(
        reference::weighted_candidates<float>(input.distance, input.rows(), input.row_class, input.used(), i, options)
            .probability);
    const double slack = 4 * largest_error(naive, sums) + 1e-7;
    const double u = (static_cast<double>(r.v[1]) + static_cast<double>(r.v[2]) / 4294967296.0) / 4294967296.0;
    EXPECT_GE(u, sums[n] - slack) << "anchor " << i << ", negative " << triplet[2];
    EXPECT_LT(u, sums[n + 1] + slack) << "anchor " << i << ", negative " << triplet[2];
    EXPECT_GT(c.probability[n], 0) << "anchor " << i << ", negative " << triplet[2];
  }
  EXPECT_EQ(t, triplets.size());
}

/// Also: the triplets are those of the CPU.
void expect_reference(Place place, const MinedRows& input, const DensityOptions& options) {
  for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{5'000'000'007}}) {
    const Triplets triplets = run(place, input, options, 17, step);
    expect_reference(input, options, triplets, 17, step);
    EXPECT_EQ(triplets, run(Place::cpu, input, options, 17, step));
  }
}

TEST_P(DistanceWeightedTest, MatchesReference) {
  for (const std::int64_t rows : {0, 1, 2, 31, 32, 33, 63, 127, 128, 129, 300}) {
    for (const std::uint32_t classes : {1u, 2u, 7u, 60u}) {
      SCOPED_TRACE(::testing::Message() << rows << " rows, " << classes << " classes");
      expect_reference(GetParam(), sphere_rows(rows, classes, 8, 61 + classes), {.width = 8});
    }
  }
}

TEST_P(DistanceWeightedTest, AnyWidth) {
  for (const std::int64_t width : {1, 2, 3, 4, 5, 128, 512}) {
    SCOPED_TRACE(::testing::Message() << width << " columns");
    expect_reference(GetParam(), sphere_rows(72, 9, width, 62), {.width = width});
  }
}

TEST_P(DistanceWeightedTest, Cutoffs) {
  const MinedRows input = sphere_rows(64, 5, 6, 63);
  for (const float lower : {0.01f, 0.5f, 1.4f, 2.0f}) {
    for (const float upper : {0.0f, 0.3f, 0.9f, 1.4f, 2.0f}) {
      SCOPED_TRACE(::testing::Message() << "from " << lower << " to " << upper);
      expect_reference(GetParam(), input, {.width = 6, .lower_cutoff = lower, .upper_cutoff = upper});
    }
  }
}

TEST_P(DistanceWeightedTest, TiesAndDuplicates) {
  for (const std::int64_t width : {2, 3, 64}) expect_reference(GetParam(), tied_rows(90, 6, 64), {.width = width});
}

TEST_P(DistanceWeightedTest, OppositeRows) {
  MinedRows input = sphere_rows(40, 2, 3, 65);
  for (std::int64_t i = 0; i < 40; ++i) {
    for (std::int64_t j = 0; j < 40; ++j) {
      if (input.row_class[i] != input.row_class[j]) input.distance[i * 40 + j] = j % 3 == 0 ? 2.0f : 1.99999f;
    }
  }
  for (const std::int64_t width : {1, 2, 3, 8, 512}) expect_reference(GetParam(), input, {.width = width});
}

TEST_P(DistanceWeightedTest, UniformWhereNoNegativeHasWeight) {
  const MinedRows input = sphere_rows(50, 4, 16, 66);
  const DensityOptions options{.width = 16, .upper_cutoff = 1e-3f};
  const Triplets triplets = run(GetParam(), input, options, 17, 3);
  expect_reference(input, options, triplets, 17, 3);
  EXPECT_EQ(triplets.size(), 50u);
}

TEST_P(DistanceWeightedTest, DistancesThatAreNoNumbers) {
  MinedRows input = sphere_rows(40, 3, 8, 67);
  for (std::size_t k = 0; k < input.distance.size(); k += 5) {
    input.distance[k] = k % 2 == 0 ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  }
  for (const std::int64_t width : {1, 2, 8}) {
    const Triplets triplets = run(GetParam(), input, {.width = width}, 1, 1);
    EXPECT_EQ(triplets.size(), 40u);
    for (const Triplet& t : triplets) EXPECT_TRUE(t[2] >= 0 && t[2] < 40 && input.row_class[t[2]] != input.row_class[t[0]]);
    EXPECT_EQ(triplets, run(Place::cpu, input, {.width = width}, 1, 1));
  }
  std::fill(input.distance.begin(), input.distance.end(), std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(run(GetParam(), input, {.width = 8}, 1, 1).size(), 40u);
}

TEST_P(DistanceWeightedTest, UnusedRowsAndRowsWithoutClassTakeNoPart) {
  MinedRows input = sphere_rows(90, 5, 8, 68);
  for (std::size_t i = 0; i < input.row_class.size(); i += 7) input.row_class[i] = -1;
  for (const std::int32_t count : {-3, 0, 1, 50, 61, 90, 1000}) {
    input.row_count = count;
    expect_reference(GetParam(), input, {.width = 8});
  }
  input.row_class.assign(90, -1);
  EXPECT_TRUE(run(GetParam(), input, {.width = 8}, 1, 1).empty());
}

TEST_P(DistanceWeightedTest, DistancesThatAreNotAligned) {
  const MinedRows input = sphere_rows(64, 5, 8, 69);
  EXPECT_EQ(run(GetParam(), input, {.width = 8}, 3, 4, RandomStream::miner, 1),
            run(Place::cpu, input, {.width = 8}, 3, 4, RandomStream::miner));
}

TEST_P(DistanceWeightedTest, StreamsDrawIndependently) {
  const MinedRows input = sphere_rows(64, 5, 8, 70);
  const Triplets first = run(GetParam(), input, {.width = 8}, 3, 4);
  const Triplets second = run(GetParam(), input, {.width = 8}, 3, 4, RandomStream::random_distance);
  EXPECT_EQ(first.size(), second.size());
  EXPECT_NE(first, second);
}

TEST(DistanceWeightedLarge, ManyRowsMatchReference) {
  const MinedRows input = sphere_rows(1030, 300, 4, 71);
  for (const float upper : {0.0f, 0.7f}) expect_reference(Place::cpu, input, {.width = 4, .upper_cutoff = upper});
}

TEST(DistanceWeightedLarge, MoreRowsThanTheCpuKeepsWeightsFor) {
  constexpr std::int32_t kRows = 4500;
  MinedRows input{std::vector<float>(std::size_t{kRows} * kRows), std::vector<std::int32_t>(kRows), {}};
  std::iota(input.row_class.begin(), input.row_class.end(), 0);
  for (const std::int32_t anchor : {0, 3, 4095, 4096, 4499}) {
    input.row_class[anchor] = 0;
    const std::vector<float> row = random_floats(kRows, anchor, 0.6f, 1.6f);
    std::copy(row.begin(), row.end(), input.distance.begin() + std::int64_t{anchor} * kRows);
  }
  std::uint64_t step = 0;
  draw_steps(
      DistanceWeightedArgs{.distance = input.distance.data(), .width = 3, .seed = 17}, input, 20,
      [](const DistanceWeightedArgs& a, Cpu exec) { distance_weighted(a, exec); },
      [&](const Triplets& triplets) { expect_reference(input, {.width = 3}, triplets, 17, step++); });
}

/// Over 100,000 steps every anchor's pairs of positive and negative occur as often as their probabilities say.
TEST(DistanceWeightedDistribution, DrawsFollowTheDensity) {
  constexpr std::int64_t kRows = 12;
  const MinedRows input = sphere_rows(kRows, 3, 6, 72);
  for (const float upper : {0.0f, 1.4f}) {
    const DensityOptions options{.width = 6, .upper_cutoff = upper};
    std::vector<std::vector<std::int64_t>> counts(kRows, std::vector<std::int64_t>(kRows * kRows, 0));
    DistanceWeightedArgs args{.distance = input.distance.data(), .width = 6, .upper_cutoff = upper, .seed = 8};
    draw_steps(
        args, input, 100'000, [](const DistanceWeightedArgs& a, Cpu exec) { distance_weighted(a, exec); },
        [&](const Triplets& triplets) {
          for (const Triplet& t : triplets) ++counts[t[0]][t[1] * kRows + t[2]];
        });
    for (std::int32_t anchor = 0; anchor < kRows; ++anchor) {
      SCOPED_TRACE(anchor);
      const Candidates c =
          reference::weighted_candidates<double>(input.distance, kRows, input.row_class, kRows, anchor, options);
      std::vector<double> probability(kRows * kRows, 0);
      for (const std::int32_t p : c.positives) {
        for (std::size_t n = 0; n < c.negatives.size(); ++n) {
          probability[p * kRows + c.negatives[n]] = c.probability[n] / static_cast<double>(c.positives.size());
        }
      }
      if (!c.positives.empty()) expect_distribution(counts[anchor], probability);
    }
  }
}

SWATH_KERNEL_PLACES(DistanceWeightedTest);

}  // namespace
}  // namespace swath::kernels::test
