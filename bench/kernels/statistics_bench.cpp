#include "kernels/statistics.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> statistics_benchmarks() {
  return {{"statistics",
           "16 scalars of a step into their ring",
           {{.name = "capacity", .values = {64}, .counted = 64}},
           [](Arena& arena, const Sizes& sizes) {
             PushStatisticsArgs args{.step = arena.put_one<std::uint64_t>(5),
                                     .ring = arena.output<float>(sizes["capacity"] * kStatisticsWidth),
                                     .ring_step = arena.output<std::uint64_t>(sizes["capacity"]),
                                     .capacity = sizes["capacity"]};
             const float* scalars = arena.uniform(kStatisticsWidth);
             for (std::size_t i = 0; i < args.values.size(); ++i) args.values[i] = scalars + i;
             return arena.job([args](auto exec) { push_statistics(args, exec); });
           }}};
}

}  // namespace swath::bench
