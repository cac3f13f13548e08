#include "kernels/nonfinite.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> nonfinite_benchmarks() {
  return {
      {"nonfinite", "counts NaN and infinite elements", {elements_axis(), bits_axis()}, [](Arena& arena, const Sizes& sizes) {
         const std::int64_t n = sizes["elements"];
         const NonfiniteArgs args{
             .n = n, .dtype = sizes.dtype(), .x = arena.uniform(n, sizes.dtype()), .count = arena.output<std::int32_t>(1)};
         return arena.job([args](auto exec) { nonfinite(args, exec); });
       }}};
}

}  // namespace swath::bench
