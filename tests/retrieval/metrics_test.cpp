// Every metric against the double reference, and evaluation end to end (methods.md §8).
#include "retrieval/metrics.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <limits>

#include "retrieval/evaluator.h"
#include "tests/retrieval/retrieval_data.h"

namespace swath {
namespace {

using test::LabelRows;
using test::Rows;

constexpr double kTolerance = 1e-12;  // both sides are double; only the order of sums differs

void expect_metrics(const MetricTable& table, const reference::Labels& labels,
                    const std::vector<std::vector<std::int64_t>>& found) {
  ASSERT_EQ(table.rows.size(), metric_names().size());
  for (const std::int64_t k : table.ks) {
    const auto want = reference::metrics(labels, found, static_cast<int>(k));
    ASSERT_EQ(want.size(), table.rows.size());
    for (const auto& [name, value] : want)
      EXPECT_NEAR(table.at(name, k), value, kTolerance * std::max(1.0, value)) << name << "@" << k;
  }
}

void expect_evaluation(const Rows& rows, const LabelRows& labels, const std::vector<std::int64_t>& ks) {
  const Evaluation evaluation = evaluate({rows.view(), labels.view()}, {.ks = ks, .metrics = {}, .retriever = {}});
  Rows unit = rows;
  unit.data = normalised(rows.view());
  const int k = static_cast<int>(*std::max_element(ks.begin(), ks.end()));
  expect_metrics(evaluation.table, {labels.sets, labels.sets, static_cast<int>(labels.classes), true},
                 reference::neighbours(unit.matrix(), unit.matrix(), k, true));
}

TEST(Metrics, RandomLabels) {
  for (const int classes : {2, 17, 43, 63, 64, 65, 200, 256}) {
    SCOPED_TRACE(classes);
    expect_evaluation(test::gaussian_rows(300, 12, classes), test::random_labels(300, classes, 5, classes), {1, 2, 4, 8});
  }
}

TEST(Metrics, ManyLabelsPerRow) {
  expect_evaluation(test::gaussian_rows(150, 6, 1), test::random_labels(150, 256, 300, 2), {1, 3, 20});
}

TEST(Metrics, KUpToTheGallery) {
  expect_evaluation(test::gaussian_rows(40, 5, 1), test::random_labels(40, 9, 3, 2), {39, 1, 8, 8, 38});
}

TEST(Metrics, OneClass) {
  expect_evaluation(test::gaussian_rows(30, 4, 1), test::label_rows(std::vector<reference::LabelSet>(30, {0}), 1),
                    {1, 2, 4, 8});
  expect_evaluation(test::gaussian_rows(30, 4, 1), test::random_labels(30, 1, 1, 3), {1, 2, 4, 8});
}

TEST(Metrics, EmptyLabels) {
  expect_evaluation(test::gaussian_rows(20, 4, 1), test::label_rows(std::vector<reference::LabelSet>(20), 7), {1, 4});
  std::vector<reference::LabelSet> sets(20);
  sets[3] = {1, 5};
  expect_evaluation(test::gaussian_rows(20, 4, 1), test::label_rows(sets, 7), {1, 4});
}

TEST(Metrics, TwoRows) { expect_evaluation(test::gaussian_rows(2, 3, 1), test::label_rows({{0, 1}, {1}}, 2), {1}); }

TEST(Metrics, TiedAndEqualRows) {
  expect_evaluation(test::integer_rows(200, 2, 1, 1), test::random_labels(200, 6, 3, 2), {1, 2, 4, 8});
}

TEST(Metrics, ZeroEmbeddings) {
  const Rows rows{50, 8, std::vector<float>(50 * 8)};
  expect_evaluation(rows, test::random_labels(50, 6, 3, 2), {1, 8});
}

TEST(Metrics, QueriesAgainstGallery) {
  const Rows queries = test::gaussian_rows(31, 6, 1), gallery = test::gaussian_rows(90, 6, 2);
  const LabelRows query_labels = test::random_labels(31, 20, 4, 3), gallery_labels = test::random_labels(90, 20, 4, 4);
  const Evaluation evaluation = evaluate({queries.view(), query_labels.view()}, {gallery.view(), gallery_labels.view()},
                                         {.ks = {1, 8, 90}, .metrics = {}, .retriever = {}});
  Rows q = queries, g = gallery;
  q.data = normalised(queries.view());
  g.data = normalised(gallery.view());
  expect_metrics(evaluation.table, {query_labels.sets, gallery_labels.sets, 20, false},
                 reference::neighbours(q.matrix(), g.matrix(), 90, false));
}

TEST(Metrics, SameForAnyNumberOfThreads) {
  const Rows rows = test::gaussian_rows(3000, 8, 1);
  const LabelRows labels = test::random_labels(3000, 43, 6, 2);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Evaluation one = evaluate({rows.view(), labels.view()});
  omp_set_num_threads(5);
  const Evaluation five = evaluate({rows.view(), labels.view()});
  omp_set_num_threads(threads);
  EXPECT_EQ(one.table.rows, five.table.rows);
  EXPECT_EQ(one.neighbours.ids, five.neighbours.ids);
}

TEST(Metrics, ChosenMetricsInTheOrderAsked) {
  const Rows rows = test::gaussian_rows(20, 4, 1);
  const LabelRows labels = test::random_labels(20, 5, 3, 2);
  const Evaluation evaluation =
      evaluate({rows.view(), labels.view()}, {.ks = {4, 1}, .metrics = {"map", "recall"}, .retriever = {}});
  ASSERT_EQ(evaluation.table.rows.size(), 2u);
  EXPECT_EQ(evaluation.table.rows[0].first, "map");
  EXPECT_EQ(evaluation.table.ks, (std::vector<std::int64_t>{1, 4}));
  EXPECT_THROW(evaluation.table.at("recall", 2), UserError);
  EXPECT_THROW(evaluation.table.at("f1", 1), UserError);
}

void expect_refused(const Rows& rows, const LabelRows& labels, const EvaluateOptions& options, const std::string& part) {
  try {
    evaluate({rows.view(), labels.view()}, options);
    FAIL() << part;
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Metrics, RefusesBadInput) {
  Rows rows = test::gaussian_rows(20, 4, 1);
  LabelRows labels = test::random_labels(20, 5, 3, 2);
  expect_refused(rows, labels, {.ks = {20}, .metrics = {}, .retriever = {}}, "K = 20 is not between 1 and the 19 rows");
  expect_refused(rows, labels, {.ks = {0, 1}, .metrics = {}, .retriever = {}}, "K = 0");
  expect_refused(rows, labels, {.ks = {}, .metrics = {}, .retriever = {}}, "no K");
  expect_refused(rows, labels, {.ks = {1}, .metrics = {"recal"}, .retriever = {}}, "did you mean 'recall'");
  expect_refused(rows, test::random_labels(19, 5, 3, 2), {}, "19 rows of labels");
  labels.words[7] = 1u << 5;
  expect_refused(rows, labels, {}, "label row 7");
  rows.data[4] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(evaluate({rows.view(), test::random_labels(20, 5, 3, 2).view()}), NanError);
}

TEST(MetricTable, JsonCsvText) {
  const MetricTable table{{1, 8}, {{"recall", {0.1, 1.0 / 3}}, {"hamming_loss", {0, 12.5}}}};
  EXPECT_EQ(table.to_json().dump(), R"({"recall":{"1":0.1,"8":0.3333333333333333},"hamming_loss":{"1":0.0,"8":12.5}})");
  EXPECT_EQ(table.to_csv(), "metric,1,8\nrecall,0.1,0.3333333333333333\nhamming_loss,0,12.5\n");
  EXPECT_EQ(table.to_text(),
            "metric              @1        @8\n"
            "recall          0.1000    0.3333\n"
            "hamming_loss    0.0000   12.5000\n");
}

}  // namespace
}  // namespace swath
