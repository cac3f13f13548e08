// Cases of semihard. methods.md §5 "Semihard".
#include "kernels/semihard.h"

#include "tests/kernels/chi_square.h"
#include "tests/kernels/triplet_case.h"
#include "tests/reference/semihard.h"

namespace swath::kernels::test {
namespace {

class SemihardTest : public KernelTest {};

Triplets run(Place place, const MinedRows& input, std::uint64_t seed, std::uint64_t step) {
  CaseMemory memory(place);
  auto args = miner_args<SemihardArgs>(memory, input, seed, step);
  args.distance = memory.put(input.distance);
  args.workspace = memory.make_workspace(semihard_workspace(args));
  memory.run([&](auto exec) { semihard(args, exec); });
  return triplets_of(memory, args);
}

void expect_reference(Place place, const MinedRows& input) {
  for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{5'000'000'007}}) {
    EXPECT_EQ(run(place, input, 17, step),
              reference::semihard(input.distance, input.rows(), input.row_class, input.used(), 17, step));
  }
}

TEST_P(SemihardTest, MatchesReference) {
  for (const std::int64_t rows : {0, 1, 2, 31, 32, 33, 63, 127, 128, 129, 300}) {
    for (const std::uint32_t classes : {1u, 2u, 7u, 60u}) {
      SCOPED_TRACE(::testing::Message() << rows << " rows, " << classes << " classes");
      expect_reference(GetParam(), tied_rows(rows, classes, 51 + classes));
    }
  }
}

TEST_P(SemihardTest, MoreRowsThanOneBlockCompacts) { expect_reference(GetParam(), tied_rows(600, 250, 52)); }

TEST_P(SemihardTest, UnusedRowsAndRowsWithoutClassTakeNoPart) {
  MinedRows input = tied_rows(90, 5, 53);
  for (std::size_t i = 0; i < input.row_class.size(); i += 7) input.row_class[i] = -1;
  for (const std::int32_t count : {0, 1, 50, 90, 1000}) {
    input.row_count = count;
    expect_reference(GetParam(), input);
  }
  input.row_class.assign(90, -1);
  EXPECT_TRUE(run(GetParam(), input, 1, 1).empty());
}

TEST_P(SemihardTest, AllRowsEqual) {
  MinedRows input = tied_rows(40, 3, 54);
  std::fill(input.distance.begin(), input.distance.end(), 0.0f);
  expect_reference(GetParam(), input);
}

TEST_P(SemihardTest, FallsBackWhenClassesAreFarApart) {
  MinedRows input = tied_rows(40, 2, 55);
  for (std::int64_t i = 0; i < 40; ++i) {
    for (std::int64_t j = 0; j < 40; ++j) {
      if (input.row_class[i] != input.row_class[j]) input.distance[i * 40 + j] += 100.0f;
    }
  }
  expect_reference(GetParam(), input);
  EXPECT_EQ(run(GetParam(), input, 1, 1).size(), 40u);
}

/// Over 100,000 steps every anchor's draws are uniform over its candidates: all pairs of a positive and a negative.
TEST(SemihardDistribution, DrawsAreUniform) {
  constexpr std::int64_t kRows = 16;
  const MinedRows input = tied_rows(kRows, 3, 56);
  std::vector<std::vector<std::int64_t>> counts(kRows, std::vector<std::int64_t>(kRows * kRows, 0));
  draw_steps(
      SemihardArgs{.distance = input.distance.data(), .seed = 8}, input, 100'000,
      [](const SemihardArgs& a, Cpu exec) { semihard(a, exec); },
      [&](const Triplets& triplets) {
        for (const Triplet& t : triplets) ++counts[t[0]][t[1] * kRows + t[2]];
      });
  for (std::int32_t anchor = 0; anchor < kRows; ++anchor) {
    SCOPED_TRACE(anchor);
    const reference::Candidates c = reference::semihard_candidates(input.distance, kRows, input.row_class, kRows, anchor);
    const double pairs = static_cast<double>(c.positives.size() * c.negatives.size());
    std::vector<double> probability(kRows * kRows, 0);
    for (const std::int32_t p : c.positives) {
      for (const std::int32_t n : c.negatives) probability[p * kRows + n] = 1 / pairs;
    }
    if (pairs > 0) expect_distribution(counts[anchor], probability);
  }
}

SWATH_KERNEL_PLACES(SemihardTest);

}  // namespace
}  // namespace swath::kernels::test
