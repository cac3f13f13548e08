// Options of DiVA (methods.md §7).
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/config.h"

namespace swath {

struct DivaOptions {
  float discriminative = 1;
  float selfsimilarity = 0.3f;
  float shared = 0.3f;
  float intra = 0.3f;
  float decorrelation = 1500;
  std::int64_t regressor_hidden = 512;
  std::vector<double> evaluation_weights{0.5f, 1, 1, 1};

  template <class V>
  void fields(V& v) {
    v("discriminative", discriminative, "weight of the margin loss of the discriminative feature", Range{0, 1e6});
    v("selfsimilarity", selfsimilarity, "weight of Fast MoCo on the self-similarity feature", Range{0, 1e6});
    v("shared", shared, "weight of the margin loss of the shared feature", Range{0, 1e6});
    v("intra", intra, "weight of the margin loss of the intra feature", Range{0, 1e6});
    v("decorrelation", decorrelation, "weight of each direction from another feature to the discriminative one", Range{0, 1e9});
    v("regressor_hidden", regressor_hidden, "hidden width of the regressors between two features", Range{1, 65536});
    v("evaluation_weights", evaluation_weights,
      "factors of the four features in the embedding that is evaluated, which is then normalised", Range{0, 1e6});
  }
};

}  // namespace swath
