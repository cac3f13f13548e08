#include "models/heads.h"

#include "engine/autograd/row_ops.h"
#include "engine/nn/init.h"

namespace swath {

Heads::Heads(ParameterBlock& block, std::int64_t features, const std::vector<HeadSpec>& heads, float dropout,
             std::uint64_t seed)
    : dropout_(dropout) {
  for (const HeadSpec& head : heads) {
    const std::string weight = fmt::format("head.{}.weight", head.name), bias = fmt::format("head.{}.bias", head.name);
    heads_.push_back(
        {&block.declare(weight, {head.width, features}, ParameterGroup::head, linear_init(seed, name_hash(weight), features)),
         &block.declare(bias, {head.width}, ParameterGroup::head, linear_init(seed, name_hash(bias), features))});
  }
}

std::vector<Var> Heads::forward(Tape& tape, const Var& features, RandomKey key) const {
  const Var dropped = dropout(tape, features, dropout_, key);
  std::vector<Var> parts;
  for (const Head& head : heads_) parts.push_back(normalize_rows(tape, linear(tape, dropped, *head.weight, *head.bias)));
  return parts;
}

}  // namespace swath
