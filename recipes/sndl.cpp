#include "recipes/sndl.h"

#include "engine/autograd/rank_ops.h"
#include "engine/autograd/row_ops.h"

namespace swath {

namespace {

/// The paper's batches are shuffled, where the other methods balance theirs.
SamplerOptions shuffled_by_default(SamplerOptions sampler) {
  if (sampler.kind == "auto") sampler.kind = "shuffled";
  return sampler;
}

}  // namespace

Sndl::Sndl(const RecipeContext& context)
    : options_(context.options.sndl),
      sampler_(make_sampler(shuffled_by_default(context.options.sampler), context.train.labels(), context.options.seed)),
      embedder_(context.block, context.options.model, context.train.image().channels,
                {{"embedding", context.options.model.embedding}}, context.options.seed),
      nca_(context.device, context.options.nca, context.train.labels().data(), context.train.rows(),
           context.train.labels().classes(), embedder_.width(), context.options.seed, "nca", context.ranks),
      bce_(context.block, embedder_.width(), context.train.labels().classes(), context.options.seed) {}

Objective Sndl::objective(Tape& tape, const DeviceBatch& batch) {
  const Var embedding = concat_columns(tape, embedder_.forward(tape, Var(batch.images), batch.random));
  const LossInput input{.rows = gather_ranks(tape, embedding), .labels = batch.labels, .index = batch.index};
  const Var nca = nca_.forward(tape, input).loss, bce = bce_.forward(tape, input).loss;
  return {add(tape, scale(tape, nca, options_.nca), scale(tape, bce, options_.bce)),
          {{"nca", nca.value()}, {"bce", bce.value()}}};
}

Tensor Sndl::embed(Tape& tape, const Tensor& images) {
  return concat_columns(tape, embedder_.forward(tape, Var(images), {})).value();
}

}  // namespace swath
