// Pulls the weight rows of linear layers to unit length and keeps their biases within it: BIER's R (methods.md §7).
#pragma once
#include <string>
#include <vector>

#include "losses/loss.h"

namespace swath {

/// A layer's parameters; without a bias the second term of R is left out.
struct WeightNormLayer {
  Parameter* weight = nullptr;  // rows × cols
  Parameter* bias = nullptr;    // rows, or null
};

/// R = mean over the owners (regressors or heads) of the sum over their layers of
/// mean over rows of (|w|² − 1)² + max(0, |b|² − 1).
class WeightNormLoss : public Loss {
 public:
  /// One list of layers per owner. Throws UserError when there are more layers than a launch takes (32).
  explicit WeightNormLoss(const std::vector<std::vector<WeightNormLayer>>& owners);
  /// Reads nothing of `input`: the loss is one of the parameters alone.
  LossOutput forward(Tape& tape, const LossInput& input) override;

 private:
  struct Owned {
    WeightNormLayer layer;
    float factor;
  };
  std::vector<Owned> layers_;
};

}  // namespace swath
