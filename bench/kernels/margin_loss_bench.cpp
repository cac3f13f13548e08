#include "kernels/margin_loss.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

namespace {

/// One triplet per anchor, partners at random.
std::int32_t* triplets_of(Arena& arena, std::int64_t rows) {
  std::vector<std::int32_t> triplets;
  for (std::int64_t t = 0; t < rows; ++t)
    for (const std::int64_t row : {t, (7 * t + 1) % rows, (11 * t + 5) % rows})
      triplets.push_back(static_cast<std::int32_t>(row));
  return arena.put(triplets);
}

}  // namespace

std::vector<Benchmark> margin_loss_benchmarks() {
  return {{"margin_loss",
           "margin loss with the gradients of rows and boundary, one triplet per row",
           {rows_axis(), cols_axis({128, 512}, 512)},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
             MarginLossArgs args{.x = arena.unit_rows(rows, cols),
                                 .triplets = triplets_of(arena, rows),
                                 .beta = arena.put_one(1.2f),
                                 .loss = arena.output<float>(1),
                                 .active = arena.output<float>(1),
                                 .d_x = arena.output<float>(rows * cols),
                                 .d_beta = arena.output<float>(1),
                                 .rows = rows,
                                 .cols = cols,
                                 .x_ld = cols,
                                 .d_x_ld = cols,
                                 .capacity = rows,
                                 .classes = 1};
             args.workspace = arena.workspace(margin_loss_workspace(args));
             return arena.job([args](auto exec) { margin_loss(args, exec); });
           }}};
}

}  // namespace swath::bench
