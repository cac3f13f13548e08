// The ideal of NDCG: the DCG of the K gallery rows that share most labels with the query (methods.md §8).
#pragma once
#include <cstdint>
#include <vector>

#include "retrieval/views.h"

namespace swath {

/// Σ_{j ≤ K} (2^{r_j} − 1) / log2(j + 1) over the K largest r = |Y_i ∩ Y_j|, once per distinct label set: the work grows
/// with the square of the number of distinct sets, not of rows.
class IdealGain {
 public:
  /// `ks` ascending; `without_self`: the queries are the gallery's rows and each leaves itself out.
  IdealGain(LabelView queries, LabelView gallery, const std::vector<std::int64_t>& ks, bool without_self);
  /// Ideal DCG of query i at ks[k].
  double at(std::int64_t i, std::size_t k) const { return values_[set_of_[i] * k_count_ + static_cast<std::int64_t>(k)]; }

 private:
  std::int64_t k_count_;
  std::vector<std::int64_t> set_of_;  // [queries] → distinct set
  std::vector<double> values_;        // [distinct sets][ks]
};

}  // namespace swath
