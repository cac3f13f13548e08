// Options of BIER (methods.md §7).
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/config.h"

namespace swath {

struct BierOptions {
  std::vector<std::int64_t> widths;
  float lambda_div = 5e-5f;
  float lambda_w = 1e5f;
  float adversarial_weight = 1e5f;
  std::int64_t regressor_hidden = 512;

  template <class V>
  void fields(V& v) {
    v("widths", widths, "widths of the learners, which add up to model.embedding; none: 96, 160 and 256 of 512, in proportion",
      Range{1, 65536});
    v("lambda_div", lambda_div, "weight λ_div of what keeps the learners apart", Range{0, 1e9});
    v("lambda_w", lambda_w, "weight λ_w of the norms of regressors and heads, inside λ_div", Range{0, 1e12});
    v("adversarial_weight", adversarial_weight, "weight of each direction between two learners, inside λ_div", Range{0, 1e12});
    v("regressor_hidden", regressor_hidden, "hidden width of the regressors between two learners", Range{1, 65536});
  }

  /// The learners' widths for an embedding. Throws UserError when they do not add up.
  std::vector<std::int64_t> learner_widths(std::int64_t embedding) const;
};

}  // namespace swath
