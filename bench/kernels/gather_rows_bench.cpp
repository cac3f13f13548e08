#include "kernels/gather_rows.h"

#include <algorithm>

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> gather_rows_benchmarks() {
  const Axis images{.name = "images", .values = {120}, .counted = 64};
  return {{"gather_rows",
           "rows picked by index",
           {rows_axis(), images, cols_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
             const GatherRowsArgs args{.x = arena.uniform(sizes["images"] * cols),
                                       .index = arena.integers(rows, sizes["images"]),
                                       .out = arena.output<float>(rows * cols),
                                       .rows = rows,
                                       .cols = cols,
                                       .x_ld = cols,
                                       .out_ld = cols};
             return arena.job([args](auto exec) { gather_rows(args, exec); });
           }},
          {"gather_rows.scatter_add",
           "rows added where they came from",
           {rows_axis(), images, cols_axis({128, 512}, 512)},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"], x_rows = sizes["images"];
             const ScatterAddRowsArgs args{.d_out = arena.uniform(rows * cols),
                                           .index = arena.integers(rows, x_rows),
                                           .d_x = arena.output<float>(x_rows * cols),
                                           .rows = rows,
                                           .x_rows = x_rows,
                                           .cols = cols,
                                           .d_out_ld = cols,
                                           .d_x_ld = cols};
             return arena.job([args](auto exec) { scatter_add_rows(args, exec); });
           }}};
}

}  // namespace swath::bench
