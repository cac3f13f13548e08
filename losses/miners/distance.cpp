#include "losses/miners/distance.h"

#include "kernels/distance_weighted.h"
#include "losses/miners/row_distances.h"

namespace swath {

Triplets mine_by_distance(const MineInput& input, const Tensor& row_class, const MinerOptions& options,
                          kernels::RandomStream stream) {
  Device& device = input.rows.device();
  const std::int64_t rows = input.rows.size(0);
  const Tensor distance = row_distances(input.rows);
  const Triplets triplets = Triplets::one_per_row(device, rows);
  kernels::DistanceWeightedArgs args{.distance = distance.data<float>(),
                                     .row_class = row_class.data<std::int32_t>(),
                                     .row_count = input.row_count.data<std::int32_t>(),
                                     .step = input.random.step,
                                     .triplets = triplets.indices.data<std::int32_t>(),
                                     .triplet_count = triplets.count.data<std::int32_t>(),
                                     .rows = rows,
                                     .width = input.rows.size(1),
                                     .lower_cutoff = options.lower_cutoff,
                                     .upper_cutoff = options.upper_cutoff,
                                     .seed = input.random.seed,
                                     .stream = stream};
  const Tensor scratch = Tensor::workspace(device, kernels::distance_weighted_workspace(args));
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::distance_weighted(args, exec); });
  return triplets;
}

Triplets DistanceMiner::mine(const MineInput& input) {
  return mine_by_distance(input, input.row_class, options_, kernels::RandomStream::miner);
}

}  // namespace swath
