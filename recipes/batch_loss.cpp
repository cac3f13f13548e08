#include "recipes/batch_loss.h"

#include "engine/autograd/row_ops.h"
#include "recipes/pair_rows.h"

namespace swath {

BatchLoss::BatchLoss(const TrainOptions& options, std::int64_t classes)
    : classes_(classes),
      rows_per_class_(options.sampler.images_per_class),
      rows_(loss_rows(options.loss)),
      index_(loss_reads_index(options.loss)) {
  if (rows_ == LossRows::triplets) miner_ = make_miner(options.miner);
  if (miner_ && miner_->multi_hot() && options.margin.class_specific)
    throw UserError(
        fmt::format("margin.class_specific needs rows of one class, and miner.name {} mines images by all their classes; set "
                    "margin.class_specific=false or choose another miner",
                    options.miner.name));
}

std::vector<std::string> BatchLoss::statistic_names() const {
  if (!miner_) return {};
  return miner_->multi_hot() ? std::vector<std::string>{"active_triplets", "dropped_triplets"}
                             : std::vector<std::string>{"active_triplets"};
}

Objective BatchLoss::objective(Tape& tape, const DeviceBatch& batch, const Var& embedding, Loss& loss) const {
  const bool images = rows_ == LossRows::images || (miner_ && miner_->multi_hot());
  return images ? on_images(tape, batch, embedding, loss) : on_pair_rows(tape, batch, embedding, loss);
}

Objective BatchLoss::on_pair_rows(Tape& tape, const DeviceBatch& batch, const Var& embedding, Loss& loss) const {
  const PairRows pairs = draw_pair_rows(batch, classes_, rows_per_class_);
  LossInput input{.rows = gather_rows(tape, embedding, pairs.image), .row_class = pairs.row_class, .row_count = pairs.count};
  if (!miner_) return {loss.forward(tape, input).loss, {}};
  input.triplets = miner_->mine(
      {.rows = input.rows.value(), .row_class = pairs.row_class, .row_count = pairs.count, .random = batch.random});
  const LossOutput output = loss.forward(tape, input);
  return {output.loss, {{"active_triplets", output.active}}};
}

Objective BatchLoss::on_images(Tape& tape, const DeviceBatch& batch, const Var& embedding, Loss& loss) const {
  LossInput input{.rows = embedding, .labels = batch.labels, .index = batch.index};
  if (!miner_) return {loss.forward(tape, input).loss, {}};
  input.triplets = miner_->mine({.rows = embedding.value(), .labels = batch.labels, .random = batch.random});
  const LossOutput output = loss.forward(tape, input);
  return {output.loss, {{"active_triplets", output.active}, {"dropped_triplets", input.triplets.dropped}}};
}

}  // namespace swath
