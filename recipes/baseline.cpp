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
      loss_(context.block, context.options.margin, classes_) {}

Objective Baseline::objective(Tape& tape, const DeviceBatch& batch) {
  const Var embedding = concat_columns(tape, embedder_.forward(tape, Var(batch.images), batch.random));
  const PairRows pairs = draw_pair_rows(batch, classes_, rows_per_class_);
  const Var rows = gather_rows(tape, embedding, pairs.image);
  const Triplets triplets =
      miner_->mine({.rows = rows.value(), .row_class = pairs.row_class, .row_count = pairs.count, .random = batch.random});
  const LossOutput output =
      loss_.forward(tape, {.rows = rows, .row_class = pairs.row_class, .row_count = pairs.count, .triplets = triplets});
  return {output.loss, {{"active_triplets", output.active}}};
}

Tensor Baseline::embed(Tape& tape, const Tensor& images) {
  return concat_columns(tape, embedder_.forward(tape, Var(images), {})).value();
}

}  // namespace swath
