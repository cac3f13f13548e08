// Boosted binomial deviance over the learners of an ensemble (M. Opitz et al., BIER, 2018; methods.md §6).
#pragma once
#include <string>
#include <vector>

#include "engine/core/config.h"
#include "losses/loss.h"

namespace swath {

struct BinomialOptions {
  float alpha = 2.0f;
  float beta = 0.5f;
  bool beta_trainable = true;
  float cost = 25.0f;
  float nu = 0.1f;
  bool eta_style = true;

  template <class V>
  void fields(V& v) {
    v("alpha", alpha, "steepness α of the deviance", Range{0, 1000});
    v("beta", beta, "initial boundary β between the similarities of positive and negative pairs", Range{-1, 1});
    v("beta_trainable", beta_trainable, "whether β is learned");
    v("cost", cost, "factor c on the scores of pairs with different labels", Range{0, 1000});
    v("nu", nu, "weight ν of |β|, added once per learner; without effect when β is fixed", Range{0, 10});
    v("eta_style", eta_style, "the running ensemble averages with η = 2/(k+1); false: it adds 0.06 of each score");
  }
};

class BinomialLoss : public Loss {
 public:
  /// `widths` are the learners' columns in the rows, 1 to kernels::kMaxLearners of them. Declares the parameter `<name>.beta`
  /// ({1}) in the group beta. Throws UserError for another number of learners.
  BinomialLoss(ParameterBlock& block, const std::vector<std::int64_t>& widths, const BinomialOptions& options,
               const std::string& name = "binomial");
  /// Reads `rows` (the learners side by side, each of unit length), `row_class` and `row_count`.
  LossOutput forward(Tape& tape, const LossInput& input) override;

 private:
  BinomialOptions options_;
  std::vector<std::int64_t> widths_;
  Parameter* beta_;
};

}  // namespace swath
