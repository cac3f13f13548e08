// Retrieval metrics from neighbour lists and label sets, and the table that holds them (methods.md §8).
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/config.h"
#include "retrieval/retriever.h"
#include "retrieval/views.h"

namespace swath {

/// Every metric name, in the order of the table: recall precision accuracy hamming_loss subset_accuracy f1 f1_of_means
/// micro_f1 macro_f1 map r_precision acg ndcg wmap hit_rate.
const std::vector<std::string>& metric_names();

/// Metric values at several K.
struct MetricTable {
  std::vector<std::int64_t> ks;                                   // ascending
  std::vector<std::pair<std::string, std::vector<double>>> rows;  // name → one value per K

  /// Throws UserError when the table lacks the metric or K.
  double at(const std::string& metric, std::int64_t k) const;
  /// {"recall": {"1": 0.5, "2": 0.6}, …}
  Json to_json() const;
  /// Header "metric,1,2,4,8"; one line per metric; values that read back bit-equal.
  std::string to_csv() const;
  /// Aligned columns for a terminal, four decimals.
  std::string to_text() const;
};

struct MetricInput {
  const Neighbours* neighbours = nullptr;  // k ≥ the largest of ks
  LabelView query_labels;                  // rows = neighbours->queries
  LabelView gallery_labels;
  bool queries_are_gallery = true;   // the ideal of NDCG leaves the query itself out
  std::vector<std::int64_t> ks;      // any order, duplicates are dropped
  std::vector<std::string> metrics;  // empty: all
};

/// Throws UserError for an unknown metric (with the nearest name), K < 1, K beyond the gallery (without the query) or the
/// neighbours, label sets that do not fit. Independent of the number of threads, bit for bit. Memory: 1.5 KB per class
/// and K, and for ndcg the distinct label sets.
MetricTable compute_metrics(const MetricInput& input);

/// The checks of compute_metrics, for use before a long search: needs only `queries` and `k` of the neighbours.
void check_metric_input(const MetricInput& input);

}  // namespace swath
