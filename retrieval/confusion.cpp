#include "retrieval/confusion.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/core/error.h"
#include "retrieval/label_bits.h"

namespace swath {

double LabelConfusion::share(std::int64_t c, std::int64_t d) const {
  return queries[c] > 0 ? static_cast<double>(counts[c * classes + d]) / static_cast<double>(queries[c]) : 0;
}

LabelConfusion label_confusion(const Neighbours& neighbours, LabelView query_labels, LabelView gallery_labels, std::int64_t k) {
  if (k < 1 || k > neighbours.k)
    throw UserError(
        fmt::format("the confusion over {} neighbours was asked for; choose 1 to {}, the number searched", k, neighbours.k));
  if (query_labels.rows != neighbours.queries || query_labels.classes != gallery_labels.classes)
    throw UserError(fmt::format("{} rows of labels over {} classes do not fit {} queries and a gallery with {} classes",
                                query_labels.rows, query_labels.classes, neighbours.queries, gallery_labels.classes));
  const std::int64_t classes = query_labels.classes, words = query_labels.words();
  LabelConfusion out{classes, std::vector<std::int64_t>(classes), std::vector<std::int64_t>(classes * classes)};
  std::vector<std::uint64_t> found(words);
  for (std::int64_t i = 0; i < neighbours.queries; ++i) {
    const std::uint64_t* truth = query_labels.row(i);
    std::fill(found.begin(), found.end(), 0);
    for (std::int64_t j = 0; j < k; ++j) {
      const std::int64_t row = neighbours.row(i)[j];
      if (row < 0 || row >= gallery_labels.rows)
        throw UserError(fmt::format("neighbour {} has no labels; give the labels of the searched gallery", row));
      for (std::int64_t w = 0; w < words; ++w) found[w] |= gallery_labels.row(row)[w];
    }
    label_bits::for_each(truth, words, [&](std::int64_t c) {
      ++out.queries[c];
      label_bits::for_each(found.data(), words, [&](std::int64_t d) {
        if (d == c || !query_labels.has(i, d)) ++out.counts[c * classes + d];
      });
    });
  }
  return out;
}

}  // namespace swath
