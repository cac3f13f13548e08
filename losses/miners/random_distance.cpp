#include "losses/miners/random_distance.h"

#include "kernels/permute_labels.h"
#include "losses/miners/distance.h"

namespace swath {

Triplets RandomDistanceMiner::mine(const MineInput& input) {
  Device& device = input.rows.device();
  const std::int64_t rows = input.rows.size(0);
  const Tensor permuted = Tensor::empty(device, {rows}, DType::i32, Tag::workspace);
  kernels::PermuteLabelsArgs args{.row_class = input.row_class.data<std::int32_t>(),
                                  .row_count = input.row_count.data<std::int32_t>(),
                                  .step = input.random.step,
                                  .permuted = permuted.data<std::int32_t>(),
                                  .rows = rows,
                                  .seed = input.random.seed};
  const Tensor scratch = Tensor::workspace(device, kernels::permute_labels_workspace(args));
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::permute_labels(args, exec); });
  return mine_by_distance(input, permuted, options_, kernels::RandomStream::random_distance);
}

}  // namespace swath
