// Adversarial decorrelation of sub-embeddings (M. Opitz et al., BIER, 2018; methods.md §6): regressors learn to predict one
// part from another, and the embedding unlearns what they find.
#pragma once
#include <string>
#include <vector>

#include "engine/core/config.h"
#include "losses/loss.h"

namespace swath {

/// A regressor predicts part `target` from part `source`; both count the parts of the embedding from 0.
struct AdversarialDirection {
  std::int64_t source = 0, target = 0;
  float weight = 1;
};

class AdversarialLoss : public Loss {
 public:
  /// `widths` are the parts' columns in the rows. Declares for each direction `<name>.<source>_<target>.w1`, `.b1` (hidden ×
  /// source), `.w2`, `.b2` (target × hidden) in the group regressor. Throws UserError for a direction between parts that are
  /// not there.
  AdversarialLoss(ParameterBlock& block, const std::vector<std::int64_t>& widths,
                  const std::vector<AdversarialDirection>& directions, std::int64_t hidden, std::uint64_t seed,
                  const std::string& name = "adversarial");
  /// Reads `rows` (all parts side by side, each of unit length or not) and `row_count`.
  LossOutput forward(Tape& tape, const LossInput& input) override;

  struct Regressor {
    Parameter *w1, *b1, *w2, *b2;
  };
  const std::vector<Regressor>& regressors() const { return regressors_; }

 private:
  Var direction_loss(Tape& tape, const std::vector<Var>& parts, std::size_t direction, const Tensor& row_count) const;

  std::vector<std::int64_t> widths_;
  std::vector<AdversarialDirection> directions_;
  std::vector<Regressor> regressors_;
};

}  // namespace swath
