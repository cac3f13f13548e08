// Linear heads on the pooled feature, each normalised on its own; the embedding is their concatenation (methods.md §2).
#pragma once
#include <string>
#include <vector>

#include "engine/autograd/nn_ops.h"
#include "engine/nn/parameter.h"

namespace swath {

struct HeadSpec {
  std::string name;
  std::int64_t width;
};

class Heads {
 public:
  /// Declares `head.<name>.weight` (width × features) and `.bias` in the group head.
  Heads(ParameterBlock& block, std::int64_t features, const std::vector<HeadSpec>& heads, float dropout, std::uint64_t seed);

  /// N × features → one N × width matrix of unit rows per head, in the order given.
  std::vector<Var> forward(Tape& tape, const Var& features, RandomKey key) const;

 private:
  struct Head {
    Parameter* weight;
    Parameter* bias;
  };
  std::vector<Head> heads_;
  float dropout_;
};

}  // namespace swath
