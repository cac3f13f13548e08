// Which labels the neighbours of a class's images carry instead (methods.md §8, evaluation).
#pragma once
#include <cstdint>
#include <vector>

#include "retrieval/retriever.h"
#include "retrieval/views.h"

namespace swath {

/// Over the queries that carry class c, with Ŷ the union of the labels of a query's K nearest neighbours: the share whose Ŷ
/// has d. Off the diagonal only wrong labels count, those that the query itself does not carry. The diagonal is Recall@K of
/// the class.
struct LabelConfusion {
  std::int64_t classes = 0;
  std::vector<std::int64_t> queries;  // [classes], those that carry the class
  std::vector<std::int64_t> counts;   // [classes][classes], true class c × class d of the neighbours

  /// counts[c][d] / queries[c]; 0 where no query carries c.
  double share(std::int64_t c, std::int64_t d) const;
  /// share(c, c): the share of queries with class c that have it among their K nearest neighbours' labels.
  double recall(std::int64_t c) const { return share(c, c); }
};

/// Throws UserError for k beyond the neighbours and label sets that do not fit.
LabelConfusion label_confusion(const Neighbours& neighbours, LabelView query_labels, LabelView gallery_labels,
                               std::int64_t k = 1);

}  // namespace swath
