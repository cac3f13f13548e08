#include "losses/miners/semihard.h"

#include "kernels/semihard.h"
#include "losses/miners/row_distances.h"

namespace swath {

Triplets SemihardMiner::mine(const MineInput& input) {
  Device& device = input.rows.device();
  const std::int64_t rows = input.rows.size(0);
  const Tensor distance = row_distances(input.rows);
  const Triplets triplets = Triplets::one_per_row(device, rows);
  kernels::SemihardArgs args{.distance = distance.data<float>(),
                             .row_class = input.row_class.data<std::int32_t>(),
                             .row_count = input.row_count.data<std::int32_t>(),
                             .step = input.random.step,
                             .triplets = triplets.indices.data<std::int32_t>(),
                             .triplet_count = triplets.count.data<std::int32_t>(),
                             .rows = rows,
                             .seed = input.random.seed};
  const Tensor scratch = Tensor::workspace(device, kernels::semihard_workspace(args));
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::semihard(args, exec); });
  return triplets;
}

}  // namespace swath
