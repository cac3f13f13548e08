// Cases of permute_labels. methods.md §5 "Random-distance".
#include "kernels/permute_labels.h"

#include <map>

#include "tests/kernels/chi_square.h"
#include "tests/kernels/triplet_case.h"
#include "tests/reference/permute_labels.h"

namespace swath::kernels::test {
namespace {

class PermuteLabelsTest : public KernelTest {};

std::vector<std::int32_t> run(Place place, const MinedRows& input, std::uint64_t seed, std::uint64_t step) {
  CaseMemory memory(place);
  const std::int64_t rows = input.rows();
  PermuteLabelsArgs args{.row_class = memory.put(input.row_class),
                         .row_count = input.row_count ? memory.put_one(*input.row_count) : nullptr,
                         .step = memory.put_one(step),
                         .permuted = memory.make_output<std::int32_t>(rows),
                         .rows = rows,
                         .seed = seed};
  args.workspace = memory.make_workspace(permute_labels_workspace(args));
  memory.run([&](auto exec) { permute_labels(args, exec); });
  return memory.get(args.permuted, rows);
}

void expect_reference(Place place, const MinedRows& input) {
  for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{5'000'000'007}}) {
    EXPECT_EQ(run(place, input, 23, step), reference::permute_labels(input.row_class, input.used(), 23, step));
  }
}

TEST_P(PermuteLabelsTest, MatchesReference) {
  for (const std::int64_t rows : {0, 1, 2, 7, 8, 9, 31, 32, 33, 127, 128, 129}) {
    SCOPED_TRACE(::testing::Message() << rows << " rows");
    expect_reference(GetParam(), {{}, random_ints(rows, 81, 9), {}});
  }
}

TEST_P(PermuteLabelsTest, MoreRowsThanOneTile) { expect_reference(GetParam(), {{}, random_ints(1100, 82, 400), 1090}); }

TEST_P(PermuteLabelsTest, OnlyRowsInUseWithAClassExchange) {
  MinedRows input{{}, random_ints(90, 83, 30), {}};
  for (std::size_t i = 0; i < input.row_class.size(); i += 7) input.row_class[i] = -1;
  for (const std::int32_t count : {-3, 0, 1, 50, 90, 1000}) {
    input.row_count = count;
    expect_reference(GetParam(), input);
  }
  input.row_class.assign(90, -1);
  EXPECT_EQ(run(GetParam(), input, 1, 1), input.row_class);
}

/// Over 100,000 steps each of the 120 orders of 5 labels occurs as often as any other.
TEST(PermuteLabelsDistribution, OrdersAreUniform) {
  const std::vector<std::int32_t> row_class = {0, 1, -1, 2, 3, 4};
  std::vector<std::int32_t> permuted(row_class.size());
  std::vector<std::uint64_t> workspace(2 * row_class.size());
  std::map<std::vector<std::int32_t>, std::int64_t> orders;
  std::uint64_t step = 0;
  const PermuteLabelsArgs args{.row_class = row_class.data(),
                               .step = &step,
                               .permuted = permuted.data(),
                               .rows = static_cast<std::int64_t>(row_class.size()),
                               .seed = 9,
                               .workspace = workspace.data()};
  for (; step < 100'000; ++step) {
    permute_labels(args, Cpu{});
    ++orders[permuted];
  }
  ASSERT_EQ(orders.size(), 120u);
  std::vector<std::int64_t> counts;
  for (const auto& [order, count] : orders) {
    EXPECT_EQ(order[2], -1);
    counts.push_back(count);
  }
  expect_uniform(counts);
}

SWATH_KERNEL_PLACES(PermuteLabelsTest);

}  // namespace
}  // namespace swath::kernels::test
