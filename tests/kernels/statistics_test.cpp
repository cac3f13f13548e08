// Cases of push_statistics.
#include "kernels/statistics.h"

#include "tests/kernels/kernel_case.h"

namespace swath::kernels::test {
namespace {

class StatisticsTest : public KernelTest {};

TEST_P(StatisticsTest, WritesOneRowPerStepAndWrapsAround) {
  for (const bool with_steps : {true, false}) {
    CaseMemory memory(GetParam());
    constexpr std::int64_t kCapacity = 3;
    const std::vector<float> start = random_floats(kCapacity * kStatisticsWidth, 31);
    const std::vector<std::uint64_t> no_steps(kCapacity, ~std::uint64_t{0});
    float* ring = memory.put(start);
    std::uint64_t* ring_step = memory.put(no_steps);
    const std::uint64_t* steps = memory.put(std::vector<std::uint64_t>{7, 8, 1'000'000'000'000});
    const float* values = memory.put(std::vector<float>{1.5f, 2.5f, 3.5f, -1.0f});
    const std::int32_t* counts = memory.put(std::vector<std::int32_t>{40, 0, -2});
    std::vector<float> expected = start;
    for (std::int64_t s = 0; s < 3; ++s) {
      PushStatisticsArgs args{.values = {},
                              .counts = {},
                              .step = steps + s,
                              .ring = ring,
                              .ring_step = with_steps ? ring_step : nullptr,
                              .capacity = kCapacity};
      args.values[0] = values + s;
      args.counts[0] = counts;
      args.counts[5] = counts + s;
      args.values[15] = values + 3;
      memory.run([&](auto exec) { push_statistics(args, exec); });
      const std::int64_t row = s == 0 ? 1 : (s == 1 ? 2 : 1);  // 7, 8 and 10^12 modulo 3
      std::fill_n(expected.begin() + row * kStatisticsWidth, kStatisticsWidth, 0.0f);
      expected[row * kStatisticsWidth] = 1.5f + static_cast<float>(s);
      expected[row * kStatisticsWidth + 5] = s == 0 ? 40.0f : (s == 1 ? 0.0f : -2.0f);
      expected[row * kStatisticsWidth + 15] = -1.0f;
      EXPECT_EQ(memory.get(ring, kCapacity * kStatisticsWidth), expected);
    }
    const std::vector<std::uint64_t> written = {no_steps[0], 1'000'000'000'000, 8};
    EXPECT_EQ(memory.get(ring_step, kCapacity), with_steps ? written : no_steps);
  }
}

TEST_P(StatisticsTest, NoCapacityWritesNothing) {
  CaseMemory memory(GetParam());
  const PushStatisticsArgs args{.values = {},
                                .counts = {},
                                .step = memory.put_one<std::uint64_t>(4),
                                .ring = memory.make_output<float>(0),
                                .capacity = 0};
  memory.run([&](auto exec) { push_statistics(args, exec); });
}

SWATH_KERNEL_PLACES(StatisticsTest);

}  // namespace
}  // namespace swath::kernels::test
