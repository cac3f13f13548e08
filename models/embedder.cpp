#include "models/embedder.h"

#include <optional>

#include "engine/autograd/row_ops.h"
#include "engine/device/step_ledger.h"

namespace swath {

Embedder::Embedder(ParameterBlock& block, const ModelOptions& options, std::int64_t in_channels,
                   const std::vector<HeadSpec>& heads, std::uint64_t seed)
    : trunk_(block, {.depth = options.backbone, .in_channels = in_channels}, seed), frozen_(options.frozen) {
  if (frozen_) {
    for (Parameter& parameter : block.parameters()) {
      if (parameter.group == ParameterGroup::backbone) parameter.trainable = Trainable::no;
    }
  }
  if (options.penultimate) {
    width_ = trunk_.features();
    return;
  }
  heads_ = std::make_unique<Heads>(block, trunk_.features(), heads, options.dropout, seed);
  for (const HeadSpec& head : heads) width_ += head.width;
}

Var Embedder::pooled(Tape& tape, const Var& images) const {
  std::optional<Tape::NoGradient> frozen;
  if (frozen_) frozen.emplace(tape);
  const LedgerPart part(tape.device().ledger(), "trunk");
  return trunk_.forward(tape, images);
}

Var Embedder::penultimate(Tape& tape, const Var& images) const {
  const LedgerPart part(tape.device().ledger(), "head");
  return normalize_rows(tape, pooled(tape, images));
}

std::vector<Var> Embedder::forward(Tape& tape, const Var& images, RandomKey key) const {
  if (!heads_) return {penultimate(tape, images)};
  const LedgerPart part(tape.device().ledger(), "head");
  return heads_->forward(tape, pooled(tape, images), key);
}

}  // namespace swath
