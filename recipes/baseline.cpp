#include "recipes/baseline.h"

#include "engine/autograd/row_ops.h"
#include "recipes/pair_rows.h"

namespace swath {

Baseline::Baseline(const RecipeContext& context)
    : classes_(context.train.labels().classes()),
      rows_per_class_(context.options.sampler.images_per_class),
      sampler_(make_sampler(context.options.sampler, context.train.labels(), context.options.seed)),
      embedder_(context.block, context.options.model, context.train.image().channels,
                {{"embedding", context.options.model.embedding}}, context.options.seed),
      miner_(make_miner(context.options.miner)),
      loss_(context.block, context.options.margin, classes_) {
  if (miner_->multi_hot() && context.options.margin.class_specific)
    throw UserError(
        fmt::format("margin.class_specific needs rows of one class, and miner.name {} mines images by all their classes; set "
                    "margin.class_specific=false or choose another miner",
                    context.options.miner.name));
}

std::vector<std::string> Baseline::statistic_names() const {
  return miner_->multi_hot() ? std::vector<std::string>{"active_triplets", "dropped_triplets"}
                             : std::vector<std::string>{"active_triplets"};
}

Objective Baseline::objective(Tape& tape, const DeviceBatch& batch) {
  const Var embedding = concat_columns(tape, embedder_.forward(tape, Var(batch.images), batch.random));
  return miner_->multi_hot() ? on_images(tape, batch, embedding) : on_pair_rows(tape, batch, embedding);
}

Objective Baseline::on_pair_rows(Tape& tape, const DeviceBatch& batch, const Var& embedding) {
  const PairRows pairs = draw_pair_rows(batch, classes_, rows_per_class_);
  const Var rows = gather_rows(tape, embedding, pairs.image);
  const Triplets triplets =
      miner_->mine({.rows = rows.value(), .row_class = pairs.row_class, .row_count = pairs.count, .random = batch.random});
  const LossOutput output =
      loss_.forward(tape, {.rows = rows, .row_class = pairs.row_class, .row_count = pairs.count, .triplets = triplets});
  return {output.loss, {{"active_triplets", output.active}}};
}

Objective Baseline::on_images(Tape& tape, const DeviceBatch& batch, const Var& embedding) {
  const Triplets triplets = miner_->mine({.rows = embedding.value(), .labels = batch.labels, .random = batch.random});
  const LossOutput output = loss_.forward(tape, {.rows = embedding, .triplets = triplets});
  return {output.loss, {{"active_triplets", output.active}, {"dropped_triplets", triplets.dropped}}};
}

Tensor Baseline::embed(Tape& tape, const Tensor& images) {
  return concat_columns(tape, embedder_.forward(tape, Var(images), {})).value();
}

}  // namespace swath
