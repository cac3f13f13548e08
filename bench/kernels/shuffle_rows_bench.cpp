#include "kernels/shuffle_rows.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> shuffle_rows_benchmarks() {
  return {{"shuffle_rows", "a random order of rows", {rows_axis({112, 512, 2048}, 512)}, [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"];
             const ShuffleRowsArgs args{.step = arena.put_one<std::uint64_t>(1),
                                        .order = arena.output<std::int64_t>(rows),
                                        .place = arena.output<std::int32_t>(rows),
                                        .rows = rows,
                                        .seed = 1};
             return arena.job([args](auto exec) { shuffle_rows(args, exec); });
           }}};
}

}  // namespace swath::bench
