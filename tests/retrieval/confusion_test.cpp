// Label confusion and Recall@K per class against sets (methods.md §8).
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "retrieval/confusion.h"
#include "retrieval/evaluator.h"
#include "tests/retrieval/retrieval_data.h"

namespace swath {
namespace {

/// The shares by the definition, from sets.
std::vector<double> naive(const Neighbours& found, const std::vector<reference::LabelSet>& queries,
                          const std::vector<reference::LabelSet>& gallery, int classes, int k) {
  std::vector<double> shares(classes * classes);
  for (int c = 0; c < classes; ++c) {
    for (int d = 0; d < classes; ++d) {
      int carriers = 0, hits = 0;
      for (std::size_t i = 0; i < queries.size(); ++i) {
        if (!queries[i].count(c)) continue;
        ++carriers;
        bool seen = false;
        for (int j = 0; j < k; ++j) seen = seen || gallery[found.row(static_cast<std::int64_t>(i))[j]].count(d);
        hits += seen && (c == d || !queries[i].count(d));
      }
      shares[c * classes + d] = carriers ? static_cast<double>(hits) / carriers : 0;
    }
  }
  return shares;
}

TEST(LabelConfusion, IsTheDefinition) {
  for (const auto& [classes, most] : {std::pair(7, 3), std::pair(70, 9), std::pair(3, 1)}) {
    const auto rows = test::gaussian_rows(150, 5, 1), other = test::gaussian_rows(90, 5, 2);
    const auto labels = test::random_labels(150, classes, most, 3), gallery = test::random_labels(90, classes, most, 4);
    const Neighbours within = make_cpu_retriever()->search_all(rows.view(), 6);
    const Neighbours across = make_cpu_retriever()->search(rows.view(), other.view(), 6);
    for (const int k : {1, 6}) {
      for (const bool same : {true, false}) {
        const test::LabelRows& searched = same ? labels : gallery;
        const LabelConfusion got = label_confusion(same ? within : across, labels.view(), searched.view(), k);
        const auto want = naive(same ? within : across, labels.sets, searched.sets, classes, k);
        for (int c = 0; c < classes; ++c)
          for (int d = 0; d < classes; ++d) EXPECT_EQ(got.share(c, d), want[c * classes + d]) << c << ", " << d;
        EXPECT_EQ(got.recall(1), want[classes + 1]);
      }
    }
  }
}

// Recall@K is the mean over queries of the found share of their labels; with one label per query it is the classes' mean.
TEST(LabelConfusion, RecallOfOneLabelIsTheMetric) {
  const auto rows = test::gaussian_rows(120, 4, 7);
  std::vector<reference::LabelSet> sets;
  for (int i = 0; i < 120; ++i) sets.push_back({i * i % 5});
  const auto labels = test::label_rows(sets, 5);
  const Evaluation evaluation = evaluate({rows.view(), labels.view()}, {.ks = {1, 4}, .metrics = {}, .retriever = {}});
  for (const std::int64_t k : {1, 4}) {
    const LabelConfusion confusion = label_confusion(evaluation.neighbours, labels.view(), labels.view(), k);
    double sum = 0;
    for (int c = 0; c < 5; ++c) sum += confusion.recall(c) * static_cast<double>(confusion.queries[c]);
    EXPECT_NEAR(sum / 120, evaluation.table.at("recall", k), 1e-12);
  }
}

TEST(LabelConfusion, RefusesWhatDoesNotFit) {
  const auto rows = test::gaussian_rows(20, 4, 7);
  const auto labels = test::random_labels(20, 5, 2, 1), few = test::random_labels(19, 5, 2, 1),
             wide = test::random_labels(20, 6, 2, 1);
  const Neighbours found = make_cpu_retriever()->search_all(rows.view(), 3);
  EXPECT_THROW(label_confusion(found, labels.view(), labels.view(), 0), UserError);
  EXPECT_THROW(label_confusion(found, labels.view(), labels.view(), 4), UserError);
  EXPECT_THROW(label_confusion(found, few.view(), labels.view()), UserError);
  EXPECT_THROW(label_confusion(found, labels.view(), wide.view()), UserError);
  EXPECT_THROW(label_confusion(found, labels.view(), few.view(), 3), UserError);
}

}  // namespace
}  // namespace swath
