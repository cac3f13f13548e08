#include "kernels/row_normalize.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> row_normalize_benchmarks() {
  return {{"row_normalize",
           "rows scaled to unit length",
           {rows_axis(), cols_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
             const RowNormalizeArgs args{.x = arena.uniform(rows * cols),
                                         .y = arena.output<float>(rows * cols),
                                         .inv_norm = arena.output<float>(rows),
                                         .rows = rows,
                                         .cols = cols,
                                         .x_ld = cols,
                                         .y_ld = cols};
             return arena.job([args](auto exec) { row_normalize(args, exec); });
           }},
          {"row_normalize.backward",
           "the gradient of rows scaled to unit length",
           {rows_axis(), cols_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
             const RowNormalizeBackwardArgs args{.y = arena.unit_rows(rows, cols),
                                                 .d_y = arena.uniform(rows * cols),
                                                 .inv_norm = arena.uniform(rows, 0.5f, 2),
                                                 .d_x = arena.output<float>(rows * cols),
                                                 .rows = rows,
                                                 .cols = cols,
                                                 .y_ld = cols,
                                                 .d_y_ld = cols,
                                                 .d_x_ld = cols};
             return arena.job([args](auto exec) { row_normalize_backward(args, exec); });
           }}};
}

}  // namespace swath::bench
