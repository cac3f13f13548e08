// Distance overlap against naive pairs in double (methods.md §8).
#include "retrieval/overlap.h"

#include <gtest/gtest.h>

#include "tests/retrieval/retrieval_data.h"

namespace swath {
namespace {

using test::LabelRows;
using test::Rows;

void expect_overlap(const Rows& rows, const LabelRows& labels) {
  const DistanceOverlap got = distance_overlap(rows.view(), labels.view());
  const reference::Overlap want = reference::overlap(rows.matrix(), labels.sets, static_cast<int>(labels.classes));
  EXPECT_EQ(got.anchor_class, want.anchor);
  EXPECT_EQ(static_cast<double>(got.intra_pairs), want.intra_pairs);
  EXPECT_EQ(static_cast<double>(got.inter_pairs), want.inter_pairs);
  // The engine normalises to float, the reference stays in double.
  EXPECT_NEAR(got.min_distance, want.low, 1e-6);
  EXPECT_NEAR(got.max_distance, want.high, 1e-6);
  EXPECT_NEAR(got.overlap, want.area, 1e-12);
  for (int b = 0; b < kOverlapBins; ++b) {
    EXPECT_NEAR(got.intra[b], want.intra[b], 1e-12) << b;
    EXPECT_NEAR(got.inter[b], want.inter[b], 1e-12) << b;
  }
}

TEST(DistanceOverlap, RandomRows) {
  for (const auto& [rows, dim, classes] :
       std::vector<std::array<int, 3>>{{2, 3, 1}, {40, 2, 4}, {300, 16, 70}, {700, 48, 12}}) {
    SCOPED_TRACE(rows);
    expect_overlap(test::gaussian_rows(rows, dim, 1), test::random_labels(rows, classes, 3, 2));
  }
}

TEST(DistanceOverlap, MoreThanOneBlock) { expect_overlap(test::gaussian_rows(1300, 4, 3), test::random_labels(1300, 3, 2, 4)); }

TEST(DistanceOverlap, AllShareALabel) {
  const Rows rows = test::gaussian_rows(50, 4, 1);
  const LabelRows labels = test::label_rows(std::vector<reference::LabelSet>(50, {2}), 3);
  expect_overlap(rows, labels);
  EXPECT_EQ(distance_overlap(rows.view(), labels.view()).overlap, 0);
}

TEST(DistanceOverlap, NoLabels) {
  const Rows rows = test::gaussian_rows(9, 4, 1);
  const DistanceOverlap got = distance_overlap(rows.view(), test::label_rows(std::vector<reference::LabelSet>(9), 3).view());
  EXPECT_EQ(got.intra_pairs + got.inter_pairs, 0);
  EXPECT_EQ(got.overlap, 0);
}

TEST(DistanceOverlap, EqualDistances) {
  // Two points: distances 0 (within rounding) and √2 only.
  Rows rows{8, 2, {}};
  for (int i = 0; i < 8; ++i) rows.data.insert(rows.data.end(), {i % 2 ? 1.f : 0.f, i % 2 ? 0.f : 1.f});
  const DistanceOverlap got =
      distance_overlap(rows.view(), test::label_rows({{0}, {0}, {0}, {0}, {1}, {1}, {0}, {1}}, 2).view());
  EXPECT_EQ(got.anchor_class, 0);
  EXPECT_EQ(got.min_distance, 0);
  EXPECT_DOUBLE_EQ(got.max_distance, std::sqrt(2.0));
  EXPECT_EQ(got.intra_pairs, 10);
  EXPECT_EQ(got.inter_pairs, 15);
  EXPECT_DOUBLE_EQ(got.intra[0] + got.intra[63], 1);
  EXPECT_DOUBLE_EQ(got.inter[0] + got.inter[63], 1);
}

TEST(DistanceOverlap, RefusesBadInput) {
  Rows rows = test::gaussian_rows(9, 4, 1);
  const LabelRows labels = test::random_labels(9, 3, 2, 1);
  EXPECT_THROW(distance_overlap({rows.data.data(), 8, 4}, labels.view()), UserError);
  EXPECT_THROW(distance_overlap({rows.data.data(), 9, 0}, labels.view()), UserError);
  rows.data[0] = NAN;
  EXPECT_THROW(distance_overlap(rows.view(), labels.view()), NanError);
}

}  // namespace
}  // namespace swath
