// The retriever against brute force in double: order, ties, equal rows, clusters within rounding (methods.md §8).
#include "retrieval/retriever.h"

#include <faiss/IndexFlat.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "retrieval/exact_search.h"
#include "tests/retrieval/retrieval_data.h"

namespace swath {
namespace {

using test::Rows;

void expect_equal(const Neighbours& got, const std::vector<std::vector<std::int64_t>>& want, const Rows& queries,
                  const Rows& gallery) {
  ASSERT_EQ(got.queries, static_cast<std::int64_t>(want.size()));
  const auto q = queries.matrix(), g = gallery.matrix();
  for (std::int64_t i = 0; i < got.queries; ++i) {
    for (std::int64_t j = 0; j < got.k; ++j) {
      ASSERT_EQ(got.row(i)[j], want[i][j]) << "query " << i << " rank " << j;
      ASSERT_FLOAT_EQ(got.distances[i * got.k + j], static_cast<float>(reference::distance(q[i], g[want[i][j]])));
    }
  }
}

void expect_all_vs_all(const Rows& rows, int k) {
  expect_equal(make_cpu_retriever()->search_all(rows.view(), k), reference::neighbours(rows.matrix(), rows.matrix(), k, true),
               rows, rows);
}

TEST(Retriever, NamesFaissAndDevice) {
  const std::string name = make_retriever({.faiss = "cpu"})->name();
  EXPECT_EQ(name.rfind("FAISS ", 0), 0u) << name;
  EXPECT_NE(name.find(", CPU"), std::string::npos) << name;
}

TEST(Retriever, RandomRows) {
  for (const auto& [rows, dim, k] :
       std::vector<std::array<int, 3>>{{2, 1, 1}, {3, 5, 2}, {19, 7, 18}, {33, 64, 8}, {400, 512, 9}, {1000, 3, 16}}) {
    SCOPED_TRACE(rows);
    expect_all_vs_all(test::gaussian_rows(rows, dim, 7), k);
  }
}

TEST(Retriever, TiesGoToTheLowerIndex) {
  for (const int largest : {1, 2, 5}) {
    for (const int dim : {1, 2, 3, 8}) {
      SCOPED_TRACE(testing::Message() << largest << " " << dim);
      expect_all_vs_all(test::integer_rows(300, dim, largest, 3), 8);
    }
  }
}

TEST(Retriever, TiesThatNoFirstSearchHolds) {
  // Unit vectors along the axes: every pair is equally far, so the answer is the lowest indices.
  Rows rows{500, 500, std::vector<float>(500 * 500)};
  for (int i = 0; i < 500; ++i) rows.data[i * 500 + i] = 1;
  expect_all_vs_all(rows, 4);
}

TEST(Retriever, EqualRows) {
  Rows rows{257, 16, std::vector<float>(257 * 16, 0.25f)};
  expect_all_vs_all(rows, 8);
  const Rows few = test::gaussian_rows(5, 16, 1);
  for (int i = 0; i < 257; ++i) std::copy_n(few.data.begin() + (i * i % 5) * 16, 16, rows.data.begin() + i * 16);
  expect_all_vs_all(rows, 8);
  expect_all_vs_all(rows, 256);
}

TEST(Retriever, EveryK) {
  const Rows rows = test::integer_rows(40, 3, 3, 9);
  for (int k = 1; k < 40; ++k) expect_all_vs_all(rows, k);
}

TEST(Retriever, ClustersWithinRounding) {
  for (const float radius : {1e-2f, 1e-3f, 1e-4f, 1e-5f, 1e-6f, 0.f}) {
    SCOPED_TRACE(radius);
    expect_all_vs_all(test::tight_clusters(700, 96, 3, radius, 5), 8);
  }
}

TEST(Retriever, ConcentratedFarFromTheOrigin) {
  Rows rows = test::gaussian_rows(500, 64, 2);
  for (float& v : rows.data) v = 100 + v * 1e-3f;
  expect_all_vs_all(rows, 8);
}

TEST(Retriever, TinyValues) {
  Rows rows = test::gaussian_rows(200, 16, 2);
  for (float& v : rows.data) v *= 1e-25f;
  expect_all_vs_all(rows, 4);
}

TEST(Retriever, QueriesAgainstGallery) {
  const Rows queries = test::integer_rows(50, 4, 3, 1), gallery = test::integer_rows(211, 4, 3, 2);
  for (const int k : {1, 8, 211})
    expect_equal(make_cpu_retriever()->search(queries.view(), gallery.view(), k),
                 reference::neighbours(queries.matrix(), gallery.matrix(), k, false), queries, gallery);
}

TEST(Retriever, SeveralBlocks) {
  const Rows rows = test::gaussian_rows(4500, 8, 4);
  const Neighbours found = make_cpu_retriever()->search_all(rows.view(), 3);
  const auto all = rows.matrix();
  const reference::Matrix last(all.end() - 3, all.end());
  const auto want = reference::neighbours(last, all, 4, false);
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) EXPECT_EQ(found.row(4497 + i)[j], want[i][j + 1]);
}

TEST(Retriever, FaissRoundsWithinTheBound) {
  for (const int dim : {8, 64, 512, 2048}) {
    Rows gaussian = test::gaussian_rows(100, dim, 1);
    Rows positive = gaussian, constant{100, dim, {}};
    for (float& v : positive.data) v = std::abs(v) + 3;
    for (int i = 0; i < 100; ++i) constant.data.insert(constant.data.end(), dim, 0.1f + 1e-3f * static_cast<float>(i));
    for (const Rows& rows : {gaussian, positive, constant}) {
      faiss::IndexFlatL2 index(dim);
      index.add(rows.rows, rows.data.data());
      std::vector<float> squared(100 * 100);
      std::vector<faiss::Index::idx_t> ids(100 * 100);
      index.search(100, rows.data.data(), 100, squared.data(), ids.data());
      const auto matrix = rows.matrix();
      const std::vector<float> origin(dim);
      double worst = 0;
      for (int p = 0; p < 100 * 100; ++p) {
        const auto &x = matrix[p / 100], &y = matrix[ids[p]];
        const double exact = std::pow(reference::distance(x, y), 2);
        const double norms = reference::distance(x, origin) + reference::distance(y, origin);
        worst = std::max(worst, std::abs(squared[p] - exact) / candidate_rounding(dim, norms));
      }
      RecordProperty("worst share of the bound, dimension " + std::to_string(dim), std::to_string(worst));
      EXPECT_LT(worst, 0.5) << dim;
    }
  }
}

TEST(Retriever, RefusesChoicesOfAGpuWhereTheCpuSearches) {
  const auto refused = [](const RetrieverOptions& options, const char* part) {
    try {
      make_retriever(options);
      FAIL() << part;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refused({.faiss = "cpu", .gpu = 5}, "gpu=5");
  refused({.faiss = "cpu", .gpu_memory = 0.3}, "gpu_memory=0.3");
  try {
    if (make_gpu_retriever()) return;
  } catch (const DeviceError&) {
    EXPECT_THROW(make_retriever({.faiss = "auto", .gpu = 5}), DeviceError);
    return;
  }
  refused({.faiss = "auto", .gpu = 5}, "gpu=5");
  refused({.faiss = "auto", .gpu_memory = 0.3}, "gpu_memory=0.3");
}

TEST(Retriever, RefusesBadInput) {
  const auto retriever = make_cpu_retriever();
  Rows rows = test::gaussian_rows(10, 4, 1);
  EXPECT_THROW(retriever->search_all(rows.view(), 0), UserError);
  EXPECT_THROW(retriever->search_all(rows.view(), 10), UserError);
  EXPECT_THROW(retriever->search_all({rows.data.data(), 0, 4}, 1), UserError);
  EXPECT_THROW(retriever->search(rows.view(), {rows.data.data(), 8, 5}, 1), UserError);
  EXPECT_THROW(make_retriever({.faiss = "tpu"}), UserError);
  rows.data[13] = std::numeric_limits<float>::quiet_NaN();
  try {
    retriever->search_all(rows.view(), 1);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("row 3"), std::string::npos) << error.what();
  }
  rows.data[13] = 3e38f;
  EXPECT_THROW(retriever->search_all(rows.view(), 1), UserError);
}

TEST(GalleryIndex, AnswersEverySearchLikeTheReference) {
  const Rows gallery = test::integer_rows(300, 3, 2, 5);
  GalleryIndex index(make_cpu_retriever(), gallery.view());
  for (const auto& [count, k] : std::vector<std::array<int, 2>>{{1, 1}, {40, 9}, {2, 300}, {1, 9}}) {
    SCOPED_TRACE(testing::Message() << count << " " << k);
    const Rows queries = test::integer_rows(count, 3, 3, static_cast<unsigned>(count + k));
    expect_equal(index.search(queries.view(), k), reference::neighbours(queries.matrix(), gallery.matrix(), k, false), queries,
                 gallery);
  }
}

TEST(GalleryIndex, RefusesWhatDoesNotFitAndGoesOn) {
  const Rows gallery = test::gaussian_rows(20, 4, 1), narrow = test::gaussian_rows(1, 3, 1);
  Rows broken = test::gaussian_rows(1, 4, 2);
  broken.data[2] = std::numeric_limits<float>::quiet_NaN();
  GalleryIndex index(make_cpu_retriever(), gallery.view());
  EXPECT_THROW(index.search(narrow.view(), 1), UserError);
  EXPECT_THROW(index.search(broken.view(), 1), UserError);
  EXPECT_THROW(index.search(gallery.view(), 21), UserError);
  EXPECT_EQ(index.search(gallery.view(), 1).ids[7], 7);
  EXPECT_THROW(GalleryIndex(make_cpu_retriever(), EmbeddingView{}), UserError);
}

}  // namespace
}  // namespace swath
