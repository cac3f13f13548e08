#include "losses/miners/intra_random.h"

#include "kernels/intra_random.h"

namespace swath {

Triplets IntraRandomMiner::mine(const MineInput& input) {
  Device& device = input.rows.device();
  const std::int64_t rows = input.rows.size(0);
  const Triplets triplets = Triplets::one_per_row(device, rows);
  kernels::IntraRandomArgs args{.row_class = input.row_class.data<std::int32_t>(),
                                .row_count = input.row_count.data<std::int32_t>(),
                                .step = input.random.step,
                                .triplets = triplets.indices.data<std::int32_t>(),
                                .triplet_count = triplets.count.data<std::int32_t>(),
                                .rows = rows,
                                .seed = input.random.seed};
  const Tensor scratch = Tensor::workspace(device, kernels::intra_random_workspace(args));
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::intra_random(args, exec); });
  return triplets;
}

}  // namespace swath
