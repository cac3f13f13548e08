#include "recipes/baseline.h"

#include "engine/autograd/rank_ops.h"
#include "engine/autograd/row_ops.h"

namespace swath {

namespace {

std::unique_ptr<Loss> loss_of(const RecipeContext& context, std::int64_t width) {
  const TrainOptions& options = context.options;
  const LabelMasks& labels = context.train.labels();
  return make_loss(options.loss, {context.device, context.block, width, labels.classes(), context.train.rows(), labels.data(),
                                  options.seed, options.margin, options.binomial, options.nca, context.ranks});
}

}  // namespace

Baseline::Baseline(const RecipeContext& context)
    : sampler_(make_sampler(context.options.sampler, context.train.labels(), context.options.seed)),
      embedder_(context.block, context.options.model, context.train.image().channels,
                {{"embedding", context.options.model.embedding}}, context.options.seed),
      rows_(context.options, context.train.labels().classes()),
      loss_(loss_of(context, embedder_.width())) {}

Objective Baseline::objective(Tape& tape, const DeviceBatch& batch) {
  const Var embedding = gather_ranks(tape, concat_columns(tape, embedder_.forward(tape, Var(batch.images), batch.random)));
  return rows_.objective(tape, batch, embedding, *loss_);
}

Tensor Baseline::embed(Tape& tape, const Tensor& images) {
  return concat_columns(tape, embedder_.forward(tape, Var(images), {})).value();
}

}  // namespace swath
