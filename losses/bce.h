// Binary cross-entropy of a linear layer's logits against the rows' labels (methods.md §6).
#pragma once
#include "engine/core/config.h"
#include "losses/loss.h"

namespace swath {

class BceLoss : public Loss {
 public:
  /// Declares `<name>.weight` (classes × width) and `<name>.bias` in the group regressor.
  BceLoss(ParameterBlock& block, std::int64_t width, std::int64_t classes, std::uint64_t seed, const std::string& name = "bce");
  /// Reads `rows` and `labels`.
  LossOutput forward(Tape& tape, const LossInput& input) override;

 private:
  std::int64_t classes_;
  Parameter* weight_;
  Parameter* bias_;
};

}  // namespace swath
