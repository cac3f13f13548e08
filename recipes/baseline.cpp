#include "recipes/baseline.h"

#include "engine/autograd/row_ops.h"

namespace swath {

Baseline::Baseline(const RecipeContext& context)
    : sampler_(make_sampler(context.options.sampler, context.train.labels(), context.options.seed)),
      embedder_(context.block, context.options.model, context.train.image().channels,
                {{"embedding", context.options.model.embedding}}, context.options.seed),
      margin_(context.options, context.train.labels().classes()),
      loss_(context.block, context.options.margin, context.train.labels().classes()) {}

Objective Baseline::objective(Tape& tape, const DeviceBatch& batch) {
  const Var embedding = concat_columns(tape, embedder_.forward(tape, Var(batch.images), batch.random));
  return margin_.objective(tape, batch, embedding, loss_);
}

Tensor Baseline::embed(Tape& tape, const Tensor& images) {
  return concat_columns(tape, embedder_.forward(tape, Var(images), {})).value();
}

}  // namespace swath
