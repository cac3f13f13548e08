#include "kernels/columns.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> columns_benchmarks() {
  return {{"columns",
           "a block of columns out of a matrix twice as wide",
           {rows_axis(), cols_axis(), bits_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
             const CopyColumnsArgs args{.rows = rows,
                                        .columns = cols,
                                        .dtype = sizes.dtype(),
                                        .from = arena.uniform(2 * rows * cols, sizes.dtype()),
                                        .from_stride = 2 * cols,
                                        .to = arena.output(rows * cols, sizes.dtype()),
                                        .to_stride = cols};
             return arena.job([args](auto exec) { copy_columns(args, exec); });
           }}};
}

}  // namespace swath::bench
