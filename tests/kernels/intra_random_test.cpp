// Cases of intra_random. methods.md §5 "Intra-random".
#include "kernels/intra_random.h"

#include "tests/kernels/chi_square.h"
#include "tests/kernels/triplet_case.h"
#include "tests/reference/intra_random.h"

namespace swath::kernels::test {
namespace {

class IntraRandomTest : public KernelTest {};

Triplets run(Place place, const MinedRows& input, std::uint64_t seed, std::uint64_t step) {
  CaseMemory memory(place);
  auto args = miner_args<IntraRandomArgs>(memory, input, seed, step);
  args.workspace = memory.make_workspace(intra_random_workspace(args));
  memory.run([&](auto exec) { intra_random(args, exec); });
  return triplets_of(memory, args);
}

void expect_reference(Place place, const MinedRows& input) {
  for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{5'000'000'007}}) {
    EXPECT_EQ(run(place, input, 29, step), reference::intra_random(input.row_class, input.used(), 29, step));
  }
}

TEST_P(IntraRandomTest, MatchesReference) {
  for (const std::int64_t rows : {0, 1, 2, 31, 32, 33, 127, 128, 129}) {
    for (const std::uint32_t classes : {1u, 2u, 7u, 60u, 4'000'000'000u}) {
      SCOPED_TRACE(::testing::Message() << rows << " rows, " << classes << " classes");
      MinedRows input{{}, random_ints(rows, 91 + classes, classes), {}};
      for (std::int32_t& c : input.row_class) c &= 0x7fffffff;
      expect_reference(GetParam(), input);
    }
  }
}

TEST_P(IntraRandomTest, MoreRowsThanOneBlock) { expect_reference(GetParam(), {{}, random_ints(1100, 92, 700), 1090}); }

TEST_P(IntraRandomTest, SortedRows) {
  MinedRows input{{}, random_ints(100, 93, 20), {}};
  std::sort(input.row_class.begin(), input.row_class.end());
  expect_reference(GetParam(), input);
}

TEST_P(IntraRandomTest, UnusedRowsAndRowsWithoutClassTakeNoPart) {
  MinedRows input{{}, random_ints(90, 94, 5), {}};
  for (std::size_t i = 0; i < input.row_class.size(); i += 7) input.row_class[i] = -1;
  for (const std::int32_t count : {-3, 0, 1, 50, 90, 1000}) {
    input.row_count = count;
    expect_reference(GetParam(), input);
  }
  input.row_class.assign(90, -1);
  EXPECT_TRUE(run(GetParam(), input, 1, 1).empty());
}

/// Over 100,000 draws the triplets of classes of 1, 2 and 4 rows occur as often as their probabilities say.
TEST(IntraRandomDistribution, ClassesAndRowsAreUniform) {
  const MinedRows input{{}, {7, 3, 7, 9, 7, 3, 7}, {}};
  constexpr std::int64_t kRows = 7;
  const std::vector<std::vector<std::int32_t>> classes = {{1, 5}, {0, 2, 4, 6}, {3}};
  std::vector<double> probability(kRows * kRows * kRows, 0);
  const auto outcome = [](std::int32_t a, std::int32_t p, std::int32_t n) { return (a * kRows + p) * kRows + n; };
  for (const auto& rows : classes) {
    const auto size = static_cast<double>(rows.size());
    for (const std::int32_t a : rows) {
      for (const std::int32_t p : rows) {
        for (const std::int32_t n : rows) probability[outcome(a, p, n)] = 1 / (3 * size * size * size);
      }
    }
  }
  std::vector<std::int64_t> counts(probability.size(), 0);
  draw_steps(
      IntraRandomArgs{.seed = 10}, input, 100'000 / kRows + 1,
      [](const IntraRandomArgs& a, Cpu exec) { intra_random(a, exec); },
      [&](const Triplets& triplets) {
        ASSERT_EQ(triplets.size(), static_cast<std::size_t>(kRows));
        for (const Triplet& t : triplets) ++counts[outcome(t[0], t[1], t[2])];
      });
  expect_distribution(counts, probability);
}

SWATH_KERNEL_PLACES(IntraRandomTest);

}  // namespace
}  // namespace swath::kernels::test
