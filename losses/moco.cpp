#include "losses/moco.h"

#include "kernels/moco_loss.h"
#include "kernels/queue_push.h"
#include "losses/record_loss.h"

namespace swath {

MocoLoss::MocoLoss(Device& device, const MocoOptions& options, std::int64_t rows, std::int64_t width, const std::string& name)
    : options_(options),
      name_(name),
      queue_(Tensor::zeros(device, {options.n_key_batches * rows, width}, DType::f32, Tag::bank)),
      pushed_(Tensor::zeros(device, {1}, DType::u64, Tag::bank)) {}

LossOutput MocoLoss::forward(Tape& tape, const LossInput& input) {
  Device& device = tape.device();
  const Tensor& rows = input.rows.value();
  const std::int64_t cols = rows.size(1);
  SWATH_CHECK(cols == queue_.size(1) && input.keys.shape() == rows.shape(), "rows {}, keys {}, queue {}", rows.shape().str(),
              input.keys.shape().str(), queue_.shape().str());
  const Tensor loss = Tensor::empty(device, {1}), d_rows = Tensor::empty(device, rows.shape());
  kernels::MocoLossArgs args{
      .queries = rows.data<float>(),
      .keys = input.keys.data<float>(),
      .queue = queue_.data<float>(),
      .row_count = input.row_count.data<std::int32_t>(),
      .pushed = pushed_.data<std::uint64_t>(),
      .loss = loss.data<float>(),
      .d_queries = d_rows.data<float>(),
      .rows = rows.size(0),
      .cols = cols,
      .capacity = queue_.size(0),
      .queries_ld = cols,
      .keys_ld = cols,
      .d_queries_ld = cols,
      .tau = options_.tau,
      .lower_cutoff = options_.lower_cutoff,
      .upper_cutoff = options_.upper_cutoff,
  };
  const Tensor scratch = Tensor::workspace(device, kernels::moco_loss_workspace(args));
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::moco_loss(args, exec); });
  keys_ = input.keys;
  row_count_ = input.row_count;
  return {record_loss(tape, "moco", loss, {{input.rows, d_rows}}), {}};
}

void MocoLoss::push(const Tensor& keys, const Tensor& row_count) {
  SWATH_CHECK(keys.size(1) == queue_.size(1), "keys {}, queue {}", keys.shape().str(), queue_.shape().str());
  const kernels::QueuePushArgs args{
      .keys = keys.data<float>(),
      .row_count = row_count.data<std::int32_t>(),
      .queue = queue_.data<float>(),
      .pushed = pushed_.data<std::uint64_t>(),
      .rows = keys.size(0),
      .cols = keys.size(1),
      .keys_ld = keys.size(1),
      .capacity = queue_.size(0),
  };
  keys.device().run([&](auto exec) { kernels::queue_push(args, exec); });
}

void MocoLoss::after_step() {
  SWATH_CHECK(keys_.defined(), "after_step without a forward");
  push(keys_, row_count_);
  keys_ = row_count_ = {};
}

void MocoLoss::visit_state(StateVisitor& visitor) {
  visitor.tensor(name_ + ".queue", queue_);
  visitor.tensor(name_ + ".pushed", pushed_);
}

}  // namespace swath
