#include "kernels/dropout.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> dropout_benchmarks() {
  return {{"dropout",
           "dropout of pooled features",
           {rows_axis({120}, 64), cols_axis({2048}, 128), bits_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t n = sizes["rows"] * sizes["cols"];
             const DropoutArgs args{.rows = sizes["rows"],
                                    .columns = sizes["cols"],
                                    .dtype = sizes.dtype(),
                                    .x = arena.uniform(n, sizes.dtype()),
                                    .y = arena.output(n, sizes.dtype()),
                                    .keep = 0.99f,
                                    .seed = 1,
                                    .step = arena.put_one<std::uint64_t>(1)};
             return arena.job([args](auto exec) { dropout(args, exec); });
           }}};
}

}  // namespace swath::bench
