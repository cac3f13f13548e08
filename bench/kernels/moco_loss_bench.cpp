#include "kernels/moco_loss.h"

#include "bench/kernels/all.h"
#include "kernels/moco_loss_plan.h"

namespace swath::bench {

using namespace kernels;

namespace {

/// By the tiles of 64 × 64 of both products; the rows' pass also reads two numbers of every column, twice.
double moco_sectors(const MocoLossArgs& args) {
  const moco_plan::Cuda plan(args);
  const auto tiles = [](std::int64_t n) { return static_cast<double>((n + 63) / 64); };
  const double pairs = static_cast<double>(args.rows * args.capacity), cols = static_cast<double>(args.cols);
  const double partials = static_cast<double>(plan.splits * args.rows * args.cols);
  const double products = tiles(args.capacity) * tiles(args.rows) * 128 * cols / 8 + pairs / 8;
  const double passes = pairs / 8 + 3 * pairs / 8 + pairs / 2;
  const double gradients =
      tiles(args.cols) * tiles(args.rows) * static_cast<double>(args.capacity) * 128 / 8 + 2 * partials / 8;
  return products + passes + gradients + 2 * static_cast<double>(args.rows) * cols / 8;
}

}  // namespace

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
             const double n = static_cast<double>(rows), width = static_cast<double>(cols),
                          queue = static_cast<double>(capacity);
             return arena.job({4 * width * (3 * n + queue), 4 * n * queue * width, moco_sectors(args)},
                              [args](auto exec) { moco_loss(args, exec); });
           }}};
}

}  // namespace swath::bench
