#include "losses/miners/multilabel_semihard.h"

#include <algorithm>

#include "kernels/label_similarity.h"
#include "kernels/multilabel_semihard.h"

namespace swath {

Triplets MultilabelSemihardMiner::mine(const MineInput& input) {
  Device& device = input.rows.device();
  const std::int64_t rows = input.rows.size(0), words = input.labels.size(1);
  const std::int64_t capacity = options_.capacity > 0 ? options_.capacity : rows * std::min<std::int64_t>(rows, 512);
  const Tensor similarity = Tensor::empty(device, {rows, rows}, DType::u16, Tag::workspace);
  const Tensor label_count = Tensor::empty(device, {rows}, DType::i32, Tag::workspace);
  const kernels::LabelSimilarityArgs similarities{.labels = input.labels.data<std::uint64_t>(),
                                                  .others = input.labels.data<std::uint64_t>(),
                                                  .similarity = similarity.data<std::uint16_t>(),
                                                  .label_count = label_count.data<std::int32_t>(),
                                                  .rows = rows,
                                                  .other_rows = rows,
                                                  .classes = 64 * words};
  const Triplets triplets{.indices = Tensor::empty(device, {capacity, 3}, DType::i32),
                          .count = Tensor::empty(device, {1}, DType::i32),
                          .dropped = Tensor::empty(device, {1}, DType::i32)};
  kernels::MultilabelSemihardArgs args{.x = input.rows.data<float>(),
                                       .similarity = similarity.data<std::uint16_t>(),
                                       .label_count = label_count.data<std::int32_t>(),
                                       .row_count = input.row_count.defined() ? input.row_count.data<std::int32_t>() : nullptr,
                                       .step = input.random.step,
                                       .triplets = triplets.indices.data<std::int32_t>(),
                                       .triplet_count = triplets.count.data<std::int32_t>(),
                                       .dropped = triplets.dropped.data<std::int32_t>(),
                                       .rows = rows,
                                       .cols = input.rows.size(1),
                                       .x_ld = input.rows.size(1),
                                       .capacity = capacity,
                                       .max_negatives_per_pos = options_.max_negatives_per_pos,
                                       .max_trips_per_anchor = options_.max_trips_per_anchor,
                                       .seed = input.random.seed};
  const Tensor scratch = Tensor::workspace(device, kernels::multilabel_semihard_workspace(args));
  args.workspace = scratch.raw();
  device.run([&](auto exec) {
    kernels::label_similarity(similarities, exec);
    kernels::multilabel_semihard(args, exec);
  });
  return triplets;
}

}  // namespace swath
