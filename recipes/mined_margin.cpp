#include "recipes/mined_margin.h"

#include "engine/autograd/row_ops.h"
#include "recipes/pair_rows.h"

namespace swath {

MinedMargin::MinedMargin(const TrainOptions& options, std::int64_t classes)
    : classes_(classes), rows_per_class_(options.sampler.images_per_class), miner_(make_miner(options.miner)) {
  if (miner_->multi_hot() && options.margin.class_specific)
    throw UserError(
        fmt::format("margin.class_specific needs rows of one class, and miner.name {} mines images by all their classes; set "
                    "margin.class_specific=false or choose another miner",
                    options.miner.name));
}

std::vector<std::string> MinedMargin::statistic_names() const {
  return miner_->multi_hot() ? std::vector<std::string>{"active_triplets", "dropped_triplets"}
                             : std::vector<std::string>{"active_triplets"};
}

Objective MinedMargin::objective(Tape& tape, const DeviceBatch& batch, const Var& embedding, MarginLoss& loss) const {
  return miner_->multi_hot() ? on_images(tape, batch, embedding, loss) : on_pair_rows(tape, batch, embedding, loss);
}

Objective MinedMargin::on_pair_rows(Tape& tape, const DeviceBatch& batch, const Var& embedding, MarginLoss& loss) const {
  const PairRows pairs = draw_pair_rows(batch, classes_, rows_per_class_);
  const Var rows = gather_rows(tape, embedding, pairs.image);
  const Triplets triplets =
      miner_->mine({.rows = rows.value(), .row_class = pairs.row_class, .row_count = pairs.count, .random = batch.random});
  const LossOutput output =
      loss.forward(tape, {.rows = rows, .row_class = pairs.row_class, .row_count = pairs.count, .triplets = triplets});
  return {output.loss, {{"active_triplets", output.active}}};
}

Objective MinedMargin::on_images(Tape& tape, const DeviceBatch& batch, const Var& embedding, MarginLoss& loss) const {
  const Triplets triplets = miner_->mine({.rows = embedding.value(), .labels = batch.labels, .random = batch.random});
  const LossOutput output = loss.forward(tape, {.rows = embedding, .triplets = triplets});
  return {output.loss, {{"active_triplets", output.active}, {"dropped_triplets", triplets.dropped}}};
}

}  // namespace swath
