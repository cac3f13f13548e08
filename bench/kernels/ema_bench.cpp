#include "kernels/ema.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> ema_benchmarks() {
  return {{"ema", "a moving average of a flat range", {elements_axis()}, [](Arena& arena, const Sizes& sizes) {
             const std::int64_t n = sizes["elements"];
             const EmaArgs args{
                 .n = n, .source = arena.uniform(n), .target = arena.output<float>(n), .mu = arena.put_one(0.9f)};
             return arena.job([args](auto exec) { ema(args, exec); });
           }}};
}

}  // namespace swath::bench
