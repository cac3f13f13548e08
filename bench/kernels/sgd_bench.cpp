#include "kernels/sgd.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> sgd_benchmarks() {
  return {{"sgd", "one update of a flat range with momentum", {elements_axis()}, [](Arena& arena, const Sizes& sizes) {
             const std::int64_t n = sizes["elements"];
             const SgdArgs args{.stretches = {{{0, n, arena.put_one(1e-5f), 1e-4, arena.uniform(n)}}},
                                .value = arena.uniform(n),
                                .buffer = arena.output<float>(n),
                                .momentum = 0.9f};
             return arena.job([args](auto exec) { sgd(args, exec); });
           }}};
}

}  // namespace swath::bench
