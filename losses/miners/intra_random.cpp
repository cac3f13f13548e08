#include "losses/miners/intra_random.h"

#include "kernels/intra_random.h"

namespace swath {

Triplets IntraRandomMiner::mine(const MineInput& input) {
  Device& device = input.rows.device();
  const std::int64_t rows = input.rows.size(0);
  const Triplets triplets{
      .indices = Tensor::empty(device, {rows, 3}, DType::i32), .count = Tensor::empty(device, {1}, DType::i32), .dropped = {}};
  kernels::IntraRandomArgs args{.row_class = input.row_class.data<std::int32_t>(),
                                .row_count = input.row_count.data<std::int32_t>(),
                                .step = input.random.step,
                                .triplets = triplets.indices.data<std::int32_t>(),
                                .triplet_count = triplets.count.data<std::int32_t>(),
                                .rows = rows,
                                .seed = input.random.seed};
  const Tensor scratch =
      Tensor::empty(device, {static_cast<std::int64_t>(kernels::intra_random_workspace(args))}, DType::u8, Tag::workspace);
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::intra_random(args, exec); });
  return triplets;
}

}  // namespace swath
