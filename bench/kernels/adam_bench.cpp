#include "kernels/adam.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> adam_benchmarks() {
  return {{"adam",
           "one update of a flat range (ResNet-50: 25 million parameters)",
           {elements_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t n = sizes["elements"];
             const AdamArgs args{.stretches = {{{0, n, arena.put_one(1e-5f), 1e-4, arena.uniform(n)}}},
                                 .value = arena.uniform(n),
                                 .m = arena.output<float>(n),
                                 .v = arena.output<float>(n),
                                 .step = arena.put_one<std::uint64_t>(10)};
             return arena.job([args](auto exec) { adam(args, exec); });
           }}};
}

}  // namespace swath::bench
