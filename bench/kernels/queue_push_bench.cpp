#include "kernels/queue_push.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> queue_push_benchmarks() {
  return {{"queue_push",
           "a batch of keys into the ring of 30 batches",
           {rows_axis(), cols_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"], capacity = 30 * rows;
             const QueuePushArgs args{.keys = arena.unit_rows(rows, cols),
                                      .queue = arena.output<float>(capacity * cols),
                                      .pushed = arena.output<std::uint64_t>(1),
                                      .rows = rows,
                                      .cols = cols,
                                      .keys_ld = cols,
                                      .capacity = capacity};
             return arena.job([args](auto exec) { queue_push(args, exec); });
           }}};
}

}  // namespace swath::bench
