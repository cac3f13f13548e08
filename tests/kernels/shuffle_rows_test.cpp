// Cases of shuffle_rows against a sort. methods.md §6 "Fast MoCo".
#include "kernels/shuffle_rows.h"

#include <numeric>

#include "tests/kernels/chi_square.h"
#include "tests/kernels/kernel_case.h"

namespace swath::kernels::test {
namespace {

class ShuffleRowsTest : public KernelTest {};

struct Shuffle {
  std::vector<std::int64_t> order;
  std::vector<std::int32_t> place;
};

Shuffle run(Place place, std::int64_t rows, std::uint64_t seed, std::uint64_t step) {
  CaseMemory memory(place);
  auto* order = memory.make_output<std::int64_t>(rows);
  auto* places = memory.make_output<std::int32_t>(rows);
  const ShuffleRowsArgs args{.step = memory.put_one(step), .order = order, .place = places, .rows = rows, .seed = seed};
  memory.run([&](auto exec) { shuffle_rows(args, exec); });
  return {memory.get(order, rows), memory.get(places, rows)};
}

TEST_P(ShuffleRowsTest, SortsTheRowsByTheirDraws) {
  for (const std::int64_t rows : {0, 1, 2, 31, 32, 33, 63, 64, 65, 112, 255, 256, 257, 1100}) {
    for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{5'000'000'007}}) {
      SCOPED_TRACE(::testing::Message() << rows << " rows, step " << step);
      std::vector<std::int64_t> order(static_cast<std::size_t>(rows));
      std::iota(order.begin(), order.end(), std::int64_t{0});
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        const Philox4 x = philox(23, step, RandomStream::shuffle, a, 1), y = philox(23, step, RandomStream::shuffle, b, 1);
        return x.v[0] != y.v[0] ? x.v[0] < y.v[0] : x.v[1] < y.v[1];
      });
      const Shuffle got = run(GetParam(), rows, 23, step);
      EXPECT_EQ(got.order, order);
      for (std::int64_t r = 0; r < rows; ++r) EXPECT_EQ(got.place[order[r]], r);
    }
  }
}

TEST_P(ShuffleRowsTest, EitherOutputMayBeLeftOut) {
  const Shuffle both = run(GetParam(), 40, 1, 2);
  CaseMemory memory(GetParam());
  auto* order = memory.make_output<std::int64_t>(40);
  auto* places = memory.make_output<std::int32_t>(40);
  const std::uint64_t* step = memory.put_one(std::uint64_t{2});
  memory.run([&](auto exec) { shuffle_rows({.step = step, .order = order, .rows = 40, .seed = 1}, exec); });
  memory.run([&](auto exec) { shuffle_rows({.step = step, .place = places, .rows = 40, .seed = 1}, exec); });
  EXPECT_EQ(memory.get(order, 40), both.order);
  EXPECT_EQ(memory.get(places, 40), both.place);
}

TEST(ShuffleRowsDistribution, EveryOrderIsEquallyLikely) {
  std::vector<std::int64_t> counts(24, 0);
  for (std::uint64_t step = 0; step < 24 * 60; ++step) {
    const std::vector<std::int64_t> order = run(Place::cpu, 4, 9, step).order;
    std::size_t code = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      std::size_t smaller = 0;
      for (std::size_t j = i + 1; j < 4; ++j) smaller += order[j] < order[i] ? 1 : 0;
      code = code * (4 - i) + smaller;
    }
    ++counts.at(code);
  }
  expect_uniform(counts);
}

SWATH_KERNEL_PLACES(ShuffleRowsTest);

}  // namespace
}  // namespace swath::kernels::test
