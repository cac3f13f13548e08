#include "losses/miners/row_distances.h"

#include "kernels/pairwise_distance.h"

namespace swath {

Tensor row_distances(const Tensor& rows) {
  Device& device = rows.device();
  const std::int64_t count = rows.size(0), cols = rows.size(1);
  const Tensor distance = Tensor::empty(device, {count, count}, DType::f32, Tag::workspace);
  const kernels::PairwiseDistanceArgs args{
      .x = rows.data<float>(), .distance = distance.data<float>(), .rows = count, .cols = cols, .x_ld = cols};
  device.run([&](auto exec) { kernels::pairwise_distance(args, exec); });
  return distance;
}

}  // namespace swath
