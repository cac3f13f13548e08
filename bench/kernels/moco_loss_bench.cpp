#include "kernels/moco_loss.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> moco_loss_benchmarks() {
  return {{"moco_loss",
           "Fast MoCo with the gradient of the queries, queue of some batches",
           {rows_axis({112, 512, 2048}, 64), cols_axis(), {.name = "batches", .values = {30}, .counted = 4, .high = 1 << 10}},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"], capacity = sizes["batches"] * rows;
             MocoLossArgs args{.queries = arena.unit_rows(rows, cols),
                               .keys = arena.unit_rows(rows, cols),
                               .queue = arena.unit_rows(capacity, cols),
                               .loss = arena.output<float>(1),
                               .d_queries = arena.output<float>(rows * cols),
                               .rows = rows,
                               .cols = cols,
                               .capacity = capacity,
                               .queries_ld = cols,
                               .keys_ld = cols,
                               .d_queries_ld = cols};
             args.workspace = arena.workspace(moco_loss_workspace(args));
             const double n = static_cast<double>(rows), width = static_cast<double>(cols);
             Job job = arena.job([args](auto exec) { moco_loss(args, exec); });
             // The products need not go through memory.
             job.cost.bytes = 4 * width * (3 * n + static_cast<double>(capacity));
             return job;
           }}};
}

}  // namespace swath::bench
