// Exact neighbours from a retriever's approximate candidates; the algorithm is described at Retriever (methods.md §8).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "retrieval/retriever.h"
#include "retrieval/row_groups.h"
#include "retrieval/views.h"

namespace swath {

/// Whether a query is a row of the gallery that must not find itself.
enum class SelfMatch { keep, exclude };

/// Bound of the rounding in FAISS's float32 squared distance of rows whose norms add up to `norms` (see Retriever).
double candidate_rounding(std::int64_t dim, double norms);

class ExactSearch {
 public:
  /// Fills the retriever, which it then has to itself. The gallery must outlive the search.
  ExactSearch(Retriever& retriever, EmbeddingView gallery);
  ~ExactSearch();
  ExactSearch(const ExactSearch&) = delete;
  ExactSearch& operator=(const ExactSearch&) = delete;

  /// With SelfMatch::exclude the queries are the gallery's rows.
  Neighbours run(EmbeddingView queries, std::int64_t k, SelfMatch self);

 private:
  struct Found {
    double squared;
    std::int64_t row;
  };
  void fill_index();
  double centre(const float* row, float* out) const;
  void search(std::span<const std::int64_t> queries, std::int64_t width, std::vector<std::int64_t>& unsettled);
  bool settle(std::int64_t query, std::span<const std::int64_t> groups, double beyond);
  void append_group(std::int64_t query, std::int64_t group, std::vector<Found>& found) const;
  void exhaust(std::int64_t query);
  void keep_nearest(std::vector<Found>& found) const;
  void write(std::int64_t query, const std::vector<Found>& found);

  Retriever& retriever_;
  EmbeddingView gallery_;
  RowGroups groups_;
  std::vector<float> mean_;  // [dim]
  double largest_norm_ = 0;  // of the centred gallery
  EmbeddingView queries_;    // of the present run, as are the members below
  std::int64_t k_ = 0;
  SelfMatch self_ = SelfMatch::keep;
  Neighbours result_;
  std::vector<float> block_;       // centred queries of a block
  std::vector<double> norms_;      // their norms
  std::vector<float> distances_;   // [block][width]
  std::vector<std::int64_t> ids_;  // [block][width]
};

}  // namespace swath
