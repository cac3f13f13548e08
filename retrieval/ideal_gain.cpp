// The ideal of NDCG from counts of distinct label sets (methods.md §8).
#include "retrieval/ideal_gain.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/parallel.h"
#include "retrieval/label_bits.h"

namespace swath {
namespace {

/// Distinct label sets with their numbers of rows.
struct LabelSets {
  std::vector<std::int64_t> rows;    // one row of each set
  std::vector<std::int64_t> counts;  // rows with that set
  std::vector<std::int64_t> set_of;  // [rows of the view]
};

LabelSets distinct_sets(LabelView labels) {
  const std::int64_t words = labels.words();
  std::vector<std::int64_t> order(labels.rows);
  std::iota(order.begin(), order.end(), 0);
  const auto before = [&](std::int64_t a, std::int64_t b) {
    return std::lexicographical_compare(labels.row(a), labels.row(a) + words, labels.row(b), labels.row(b) + words);
  };
  std::sort(order.begin(), order.end(), before);
  LabelSets sets;
  sets.set_of.resize(labels.rows);
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || before(order[i - 1], order[i])) {
      sets.rows.push_back(order[i]);
      sets.counts.push_back(0);
    }
    ++sets.counts.back();
    sets.set_of[order[i]] = static_cast<std::int64_t>(sets.rows.size()) - 1;
  }
  return sets;
}

/// The distinct sets of the gallery, the largest first, so that a search can stop early.
struct Gallery {
  LabelView labels;
  std::vector<const std::uint64_t*> sets;
  std::vector<std::int64_t> sizes, counts;

  explicit Gallery(LabelView view) : labels(view) {
    const LabelSets distinct = distinct_sets(view);
    std::vector<std::int64_t> order(distinct.rows.size()), size(distinct.rows.size());
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t s = 0; s < size.size(); ++s) size[s] = label_bits::count(view.row(distinct.rows[s]), view.words());
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return size[a] > size[b]; });
    for (const std::int64_t s : order) {
      sets.push_back(view.row(distinct.rows[s]));
      sizes.push_back(size[s]);
      counts.push_back(distinct.counts[s]);
    }
  }
};

/// The k-th largest overlap so far; −1 with fewer than k rows.
std::int64_t kth_largest(const std::vector<std::int64_t>& rows_with, std::int64_t k) {
  for (std::int64_t r = static_cast<std::int64_t>(rows_with.size()) - 1; r >= 0; --r)
    if ((k -= rows_with[r]) <= 0) return r;
  return -1;
}

/// Rows by overlap with the query, the k largest overlaps complete.
std::vector<std::int64_t> overlap_counts(const Gallery& gallery, const std::uint64_t* query, std::int64_t k,
                                         bool without_self) {
  const std::int64_t words = gallery.labels.words(), size = label_bits::count(query, words);
  std::vector<std::int64_t> rows_with(size + 1);  // [overlap]
  if (without_self) rows_with[size] = -1;
  for (std::size_t s = 0; s < gallery.sets.size(); ++s) {
    const bool smaller = s > 0 && gallery.sizes[s] < gallery.sizes[s - 1];
    if (smaller && kth_largest(rows_with, k) >= gallery.sizes[s]) break;
    const std::int64_t r = label_bits::shared(query, gallery.sets[s], words);
    rows_with[r] += gallery.counts[s];
    if (r == size && rows_with[size] >= k) break;
  }
  return rows_with;
}

}  // namespace

IdealGain::IdealGain(LabelView queries, LabelView gallery, const std::vector<std::int64_t>& ks, bool without_self)
    : k_count_(static_cast<std::int64_t>(ks.size())) {
  LabelSets distinct = distinct_sets(queries);
  const Gallery sets(gallery);
  values_.resize(distinct.rows.size() * ks.size());
  kernels::parallel_for(static_cast<std::int64_t>(distinct.rows.size()), [&](std::int64_t s) {
    const auto rows_with = overlap_counts(sets, queries.row(distinct.rows[s]), ks.back(), without_self);
    double ideal = 0;
    std::size_t k = 0;
    std::int64_t rank = 0;
    for (std::int64_t r = static_cast<std::int64_t>(rows_with.size()) - 1; r >= 0 && k < ks.size(); --r) {
      const double gain = std::exp2(static_cast<double>(r)) - 1;
      for (std::int64_t i = 0; i < rows_with[r] && k < ks.size(); ++i) {
        ideal += gain / std::log2(static_cast<double>(++rank) + 1);
        if (rank == ks[k]) values_[s * k_count_ + static_cast<std::int64_t>(k++)] = ideal;
      }
    }
  });
  set_of_ = std::move(distinct.set_of);
}

}  // namespace swath
