// Margin loss with a trainable boundary β (C.-Y. Wu et al., "Sampling Matters", 2017; methods.md §6).
#pragma once
#include "engine/core/config.h"
#include "losses/loss.h"

namespace swath {

struct MarginOptions {
  float margin = 0.2f;
  float beta = 1.2f;
  bool beta_trainable = true;
  bool class_specific = false;
  float nu = 0.1f;

  template <class V>
  void fields(V& v) {
    v("margin", margin, "margin m on either side of the boundary", Range{0, 4});
    v("beta", beta, "initial boundary β between positive and negative distances", Range{0, 2});
    v("beta_trainable", beta_trainable, "whether β is learned");
    v("class_specific", class_specific, "one β per class, by the anchor's class, instead of one for all");
    v("nu", nu, "weight ν of |β|; without effect when β is fixed", Range{0, 10});
  }
};

class MarginLoss : public Loss {
 public:
  /// Declares the parameter `<name>.beta` ({1} or {classes}) in the group beta.
  MarginLoss(ParameterBlock& block, const MarginOptions& options, std::int64_t classes, const std::string& name = "margin");
  LossOutput forward(Tape& tape, const LossInput& input) override;

 private:
  MarginOptions options_;
  Parameter* beta_;
};

}  // namespace swath
