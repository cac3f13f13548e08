#include "recipes/pair_rows.h"

#include "kernels/pair_rows.h"

namespace swath {

PairRows draw_pair_rows(const DeviceBatch& batch, std::int64_t classes, std::int64_t rows_per_class) {
  Device& device = batch.labels.device();
  const std::int64_t capacity = kernels::pair_rows_capacity(classes, rows_per_class);
  const PairRows rows{Tensor::empty(device, {capacity}, DType::i32), Tensor::empty(device, {capacity}, DType::i32),
                      Tensor::empty(device, {1}, DType::i32)};
  const kernels::PairRowsArgs args{.labels = batch.labels.data<std::uint64_t>(),
                                   .step = batch.random.step,
                                   .row_image = rows.image.data<std::int32_t>(),
                                   .row_class = rows.row_class.data<std::int32_t>(),
                                   .row_count = rows.count.data<std::int32_t>(),
                                   .images = batch.labels.size(0),
                                   .classes = classes,
                                   .words = batch.labels.size(1),
                                   .rows_per_class = rows_per_class,
                                   .seed = batch.random.seed};
  device.run([&](auto exec) { kernels::pair_rows(args, exec); });
  return rows;
}

}  // namespace swath
