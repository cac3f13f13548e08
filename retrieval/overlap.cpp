// Distance overlap over all pairs of the most frequent class, in two passes of blocked products (methods.md §8).
#include "retrieval/overlap.h"

#include <cblas.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/parallel.h"
#include "retrieval/evaluator.h"
#include "retrieval/label_bits.h"

namespace swath {
namespace {

constexpr std::int64_t kAnchors = 512;
constexpr std::int64_t kRows = 1024;

std::int64_t most_frequent_class(LabelView labels) {
  std::vector<std::int64_t> counts(labels.classes);
  for (std::int64_t i = 0; i < labels.rows; ++i)
    label_bits::for_each(labels.row(i), labels.words(), [&](std::int64_t c) { ++counts[c]; });
  return std::max_element(counts.begin(), counts.end()) - counts.begin();
}

/// Rows of a block in double with their squared norms.
struct Block {
  std::vector<double> rows, squares;  // [count][dim], [count]

  template <class RowOf>
  void fill(std::int64_t count, std::int64_t dim, const RowOf& row_of) {
    rows.resize(count * dim);
    squares.resize(count);
    kernels::parallel_for(count, [&](std::int64_t i) {
      const float* row = row_of(i);
      double sum = 0;
      for (std::int64_t c = 0; c < dim; ++c) {
        rows[i * dim + c] = row[c];
        sum += static_cast<double>(row[c]) * row[c];
      }
      squares[i] = sum;
    });
  }
};

class PairWalk {
 public:
  PairWalk(EmbeddingView rows, LabelView labels, std::int64_t anchor_class)
      : rows_(rows), labels_(labels), class_(anchor_class) {
    for (std::int64_t i = 0; i < labels.rows; ++i)
      if (labels.has(i, class_)) anchors_.push_back(i);
  }

  /// Calls visit(slot, distance, share) for each pair; calls of one slot (0 … kAnchors − 1) come from one thread at a time.
  template <class Visit>
  void each(const Visit& visit) {
    std::vector<double> products(kAnchors * kRows);
    const std::int64_t anchors = static_cast<std::int64_t>(anchors_.size()), dim = rows_.dim;
    for (std::int64_t a = 0; a < anchors; a += kAnchors) {
      const std::int64_t m = std::min(kAnchors, anchors - a);
      left_.fill(m, dim, [&](std::int64_t i) { return rows_.row(anchors_[a + i]); });
      for (std::int64_t b = 0; b < rows_.rows; b += kRows) {
        const std::int64_t n = std::min(kRows, rows_.rows - b);
        right_.fill(n, dim, [&](std::int64_t j) { return rows_.row(b + j); });
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(m), static_cast<int>(n), static_cast<int>(dim), 1,
                    left_.rows.data(), static_cast<int>(dim), right_.rows.data(), static_cast<int>(dim), 0, products.data(),
                    static_cast<int>(n));
        kernels::parallel_for(m, [&](std::int64_t i) { visit_row(i, anchors_[a + i], b, n, products.data() + i * n, visit); });
      }
    }
  }

 private:
  template <class Visit>
  void visit_row(std::int64_t slot, std::int64_t anchor, std::int64_t begin, std::int64_t n, const double* products,
                 const Visit& visit) const {
    for (std::int64_t j = 0; j < n; ++j) {
      const std::int64_t other = begin + j;
      // A pair of two anchors is met twice; it counts from its lower row.
      if (other == anchor || (other < anchor && labels_.has(other, class_))) continue;
      const double squared = left_.squares[slot] + right_.squares[j] - 2 * products[j];
      visit(slot, std::sqrt(std::max(0.0, squared)),
            label_bits::share_any(labels_.row(anchor), labels_.row(other), labels_.words()));
    }
  }

  EmbeddingView rows_;
  LabelView labels_;
  std::int64_t class_;
  std::vector<std::int64_t> anchors_;
  Block left_, right_;
};

struct Counts {
  std::array<std::int64_t, kOverlapBins> intra{}, inter{};
};

void check(EmbeddingView rows, LabelView labels) {
  if (rows.rows != labels.rows)
    throw UserError(
        fmt::format("there are {} embeddings but {} rows of labels; give one label row each", rows.rows, labels.rows));
  if (rows.rows < 2 || rows.dim < 1 || labels.classes < 1)
    throw UserError(fmt::format("distance overlap needs at least 2 rows, 1 dimension and 1 class, not {}, {} and {}", rows.rows,
                                rows.dim, labels.classes));
}

}  // namespace

DistanceOverlap distance_overlap(EmbeddingView rows, LabelView labels) {
  check(rows, labels);
  const std::vector<float> unit = normalised(rows);
  DistanceOverlap result;
  result.anchor_class = most_frequent_class(labels);
  PairWalk pairs({unit.data(), rows.rows, rows.dim}, labels, result.anchor_class);

  std::vector<double> low(kAnchors, HUGE_VAL), high(kAnchors, -1);
  pairs.each([&](std::int64_t slot, double distance, bool) {
    low[slot] = std::min(low[slot], distance);
    high[slot] = std::max(high[slot], distance);
  });
  const double smallest = *std::min_element(low.begin(), low.end()), largest = *std::max_element(high.begin(), high.end());
  if (largest < 0) return result;  // no row has a label
  result.min_distance = smallest;
  result.max_distance = largest;

  std::vector<Counts> counts(kAnchors);
  const double width = result.bin_width();
  pairs.each([&](std::int64_t slot, double distance, bool share) {
    const double bin = width > 0 ? (distance - smallest) / width : kOverlapBins - 1;
    auto& histogram = share ? counts[slot].intra : counts[slot].inter;
    ++histogram[static_cast<std::size_t>(std::min(bin, kOverlapBins - 1.0))];
  });
  for (int b = 0; b < kOverlapBins; ++b) {
    std::int64_t intra = 0, inter = 0;
    for (const Counts& c : counts) {
      intra += c.intra[b];
      inter += c.inter[b];
    }
    result.intra_pairs += intra;
    result.inter_pairs += inter;
    result.intra[b] = static_cast<double>(intra);
    result.inter[b] = static_cast<double>(inter);
  }
  for (int b = 0; b < kOverlapBins; ++b) {
    result.intra[b] /= static_cast<double>(std::max<std::int64_t>(1, result.intra_pairs));
    result.inter[b] /= static_cast<double>(std::max<std::int64_t>(1, result.inter_pairs));
    result.overlap += std::min(result.intra[b], result.inter[b]);
  }
  return result;
}

Json DistanceOverlap::to_json() const {
  return {{"overlap", overlap},         {"anchor_class", anchor_class}, {"intra_pairs", intra_pairs},
          {"inter_pairs", inter_pairs}, {"min_distance", min_distance}, {"max_distance", max_distance},
          {"intra", Json(intra)},       {"inter", Json(inter)}};
}

}  // namespace swath
