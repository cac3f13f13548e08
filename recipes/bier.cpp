#include "recipes/bier.h"

#include <numeric>

#include "engine/autograd/rank_ops.h"
#include "engine/autograd/row_ops.h"
#include "recipes/pair_rows.h"

namespace swath {

namespace {

std::vector<HeadSpec> heads_of(const std::vector<std::int64_t>& widths) {
  std::vector<HeadSpec> heads;
  for (std::size_t k = 0; k < widths.size(); ++k) heads.push_back({fmt::format("learner{}", k + 1), widths[k]});
  return heads;
}

/// From every learner to every later one.
std::vector<AdversarialDirection> directions_of(std::size_t learners, float weight) {
  std::vector<AdversarialDirection> directions;
  for (std::size_t source = 0; source < learners; ++source)
    for (std::size_t target = source + 1; target < learners; ++target)
      directions.push_back({static_cast<std::int64_t>(source), static_cast<std::int64_t>(target), weight});
  return directions;
}

std::vector<std::vector<WeightNormLayer>> layers_of(const std::vector<AdversarialLoss::Regressor>& regressors) {
  std::vector<std::vector<WeightNormLayer>> owners;
  for (const AdversarialLoss::Regressor& r : regressors) owners.push_back({{r.w1, r.b1}, {r.w2, r.b2}});
  return owners;
}

std::vector<std::vector<WeightNormLayer>> layers_of(ParameterBlock& block, const std::vector<HeadSpec>& heads) {
  std::vector<std::vector<WeightNormLayer>> owners;
  for (const HeadSpec& head : heads) owners.push_back({{block.find(fmt::format("head.{}.weight", head.name)), nullptr}});
  return owners;
}

/// BIER is an ensemble of heads.
const ModelOptions& with_heads(const ModelOptions& model) {
  if (model.penultimate) throw UserError("bier trains heads; set model.penultimate=false");
  return model;
}

}  // namespace

std::vector<std::int64_t> BierOptions::learner_widths(std::int64_t embedding) const {
  std::vector<std::int64_t> result = widths;
  if (result.empty()) {
    const std::int64_t first = embedding * 96 / 512, second = embedding * 160 / 512;
    result = {first, second, embedding - first - second};
    if (first < 1)
      throw UserError(fmt::format("model.embedding {} is too narrow for three learners; use 6 or more", embedding));
  }
  const std::int64_t sum = std::accumulate(result.begin(), result.end(), std::int64_t{0});
  if (sum != embedding)
    throw UserError(fmt::format("bier.widths {} add up to {}, but model.embedding is {}; make them equal",
                                fmt::join(result, ", "), sum, embedding));
  if (result.size() < 2) throw UserError("bier.widths names one learner; an ensemble has two or more");
  return result;
}

Bier::Bier(const RecipeContext& context)
    : classes_(context.train.labels().classes()),
      rows_per_class_(context.options.sampler.images_per_class),
      options_(context.options.bier),
      widths_(options_.learner_widths(with_heads(context.options.model).embedding)),
      sampler_(make_sampler(context.options.sampler, context.train.labels(), context.options.seed)),
      embedder_(context.block, context.options.model, context.train.image().channels, heads_of(widths_), context.options.seed),
      binomial_(context.block, widths_, context.options.binomial),
      adversarial_(context.block, widths_, directions_of(widths_.size(), options_.adversarial_weight),
                   options_.regressor_hidden, context.options.seed),
      regressor_norms_(layers_of(adversarial_.regressors())),
      head_norms_(layers_of(context.block, heads_of(widths_))) {}

Objective Bier::objective(Tape& tape, const DeviceBatch& batch) {
  const Var embedding = gather_ranks(tape, concat_columns(tape, embedder_.forward(tape, Var(batch.images), batch.random)));
  const PairRows pairs = draw_pair_rows(batch, classes_, rows_per_class_);
  const LossInput input{
      .rows = gather_rows(tape, embedding, pairs.image), .row_class = pairs.row_class, .row_count = pairs.count};
  const Var binomial = binomial_.forward(tape, input).loss, adversarial = adversarial_.forward(tape, input).loss;
  const Var norms = add(tape, regressor_norms_.forward(tape, input).loss, head_norms_.forward(tape, input).loss);
  const Var apart = add(tape, adversarial, scale(tape, norms, options_.lambda_w));
  return {add(tape, binomial, scale(tape, apart, options_.lambda_div)),
          {{"binomial", binomial.value()}, {"adversarial", adversarial.value()}, {"weight_norm", norms.value()}}};
}

Tensor Bier::embed(Tape& tape, const Tensor& images) {
  return concat_columns(tape, embedder_.forward(tape, Var(images), {})).value();
}

}  // namespace swath
