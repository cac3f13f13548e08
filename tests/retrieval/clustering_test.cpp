// k-means, assignment at the least cost, mutual information and the renumbering of clusters (methods.md §7, D&C).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>

#include "retrieval/cluster_match.h"
#include "retrieval/hungarian.h"
#include "retrieval/kmeans.h"
#include "tests/retrieval/peer_script.h"
#include "tests/retrieval/retrieval_data.h"

namespace swath {
namespace {

using Numbers = std::vector<std::int64_t>;

std::vector<double> random_costs(std::int64_t n, unsigned seed, int distinct) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> value(-distinct, distinct);
  std::vector<double> cost(static_cast<std::size_t>(n * n));
  for (double& c : cost) c = 0.5 * value(random);
  return cost;
}

double total(const std::vector<double>& cost, const Numbers& columns) {
  double sum = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) sum += cost[i * columns.size() + static_cast<std::size_t>(columns[i])];
  return sum;
}

void expect_permutation(Numbers columns) {
  std::sort(columns.begin(), columns.end());
  for (std::size_t i = 0; i < columns.size(); ++i) EXPECT_EQ(columns[i], static_cast<std::int64_t>(i));
}

Numbers random_numbers(std::int64_t count, int below, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<std::int64_t> value(0, below - 1);
  Numbers numbers;
  for (std::int64_t i = 0; i < count; ++i) numbers.push_back(value(random));
  return numbers;
}

TEST(Hungarian, HasTheLeastCostOfAllOrders) {
  for (std::int64_t n = 0; n <= 7; ++n) {
    for (unsigned seed = 0; seed < 30; ++seed) {
      const std::vector<double> cost = random_costs(n, seed, seed % 3 == 0 ? 1 : 50);
      const Numbers found = hungarian(cost, n);
      expect_permutation(found);
      Numbers order(static_cast<std::size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      double least = total(cost, order);
      while (std::next_permutation(order.begin(), order.end())) least = std::min(least, total(cost, order));
      EXPECT_DOUBLE_EQ(total(cost, found), least) << n << " rows, seed " << seed;
    }
  }
}

TEST(NormalizedMutualInformation, KnownValues) {
  EXPECT_DOUBLE_EQ(normalized_mutual_information({0, 0, 1, 1, 2}, {5, 5, 0, 0, 9}), 1);
  EXPECT_DOUBLE_EQ(normalized_mutual_information({0, 0, 1, 1}, {0, 1, 0, 1}), 0);
  EXPECT_DOUBLE_EQ(normalized_mutual_information({3, 3, 3}, {1, 1, 1}), 1);
  EXPECT_DOUBLE_EQ(normalized_mutual_information({0, 0, 0}, {0, 1, 2}), 0);
  EXPECT_DOUBLE_EQ(normalized_mutual_information({}, {}), 1);
  EXPECT_THROW(normalized_mutual_information({0}, {0, 1}), InternalError);
}

TEST(MatchClusters, ARenamedClusteringGetsItsOldNumbersBack) {
  const Numbers old = random_numbers(500, 5, 1);
  const Numbers cycle{1, 2, 3, 4, 0};
  Numbers renamed = old;
  for (std::int64_t& cluster : renamed) cluster = cycle[static_cast<std::size_t>(cluster)];
  EXPECT_EQ(match_clusters(old, renamed, 5), old);
  // One image in ten has moved: the nine stay where they were.
  for (std::size_t i = 0; i < renamed.size(); i += 10) renamed[i] = (renamed[i] + 1) % 5;
  const Numbers matched = match_clusters(old, renamed, 5);
  std::int64_t kept = 0;
  for (std::size_t i = 0; i < old.size(); ++i) kept += matched[i] == old[i] ? 1 : 0;
  EXPECT_EQ(kept, 450);
}

TEST(MatchClusters, HasTheLeastSymmetricDifferenceAndKeepsTheClusters) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    constexpr std::int64_t kClusters = 5;
    const Numbers old = random_numbers(60, kClusters, seed), fresh = random_numbers(60, kClusters, seed + 100);
    const auto difference = [&](const Numbers& numbers) {
      std::int64_t sum = 0;  // an image whose numbers differ is in two of the symmetric differences
      for (std::size_t i = 0; i < old.size(); ++i) sum += numbers[i] != old[i] ? 2 : 0;
      return sum;
    };
    const Numbers matched = match_clusters(old, fresh, kClusters);
    Numbers order(kClusters);
    std::iota(order.begin(), order.end(), 0);
    std::int64_t least = difference(fresh);
    bool renumbered = false;
    do {
      Numbers other = fresh;
      for (std::int64_t& cluster : other) cluster = order[static_cast<std::size_t>(cluster)];
      least = std::min(least, difference(other));
      renumbered = renumbered || other == matched;
    } while (std::next_permutation(order.begin(), order.end()));
    EXPECT_EQ(difference(matched), least) << seed;
    EXPECT_TRUE(renumbered) << seed;
  }
  EXPECT_TRUE(match_clusters({}, {}, 3).empty());
  EXPECT_THROW(match_clusters({0}, {3}, 3), InternalError);
}

TEST(ClusteringAgainstSklearn, MutualInformationAndAssignment) {
  const char* python = std::getenv("SWATH_PEERS_PYTHON");
  if (!python) GTEST_SKIP() << "SWATH_PEERS_PYTHON is not set";
  Json request = {{"pairs", Json::array()}, {"costs", Json::array()}};
  std::vector<std::pair<Numbers, Numbers>> pairs;
  for (const int clusters : {1, 2, 8, 40}) {
    pairs.emplace_back(random_numbers(300, clusters, 1), random_numbers(300, clusters, 2));
    Numbers close = pairs.back().first;
    for (std::size_t i = 0; i < close.size(); i += 7) close[i] = pairs.back().second[i];
    pairs.emplace_back(pairs.back().first, close);
    pairs.emplace_back(random_numbers(300, clusters, 3), random_numbers(300, 3, 4));
  }
  for (const auto& [a, b] : pairs) request["pairs"].push_back({a, b});
  std::vector<std::pair<std::int64_t, std::vector<double>>> problems;
  for (const std::int64_t n : {1, 8, 33, 100}) problems.emplace_back(n, random_costs(n, 7, n == 33 ? 2 : 1000));
  for (const auto& [n, cost] : problems) {
    Json matrix = Json::array();
    for (std::int64_t i = 0; i < n; ++i)
      matrix.push_back(std::vector<double>(cost.begin() + i * n, cost.begin() + (i + 1) * n));
    request["costs"].push_back(matrix);
  }
  const Json want = test::run_peer(python, "sklearn_clustering.py", request);
  for (std::size_t i = 0; i < pairs.size(); ++i)
    EXPECT_NEAR(normalized_mutual_information(pairs[i].first, pairs[i].second), want["nmi"][i].get<double>(), 1e-12) << i;
  for (std::size_t i = 0; i < problems.size(); ++i)
    EXPECT_NEAR(total(problems[i].second, hungarian(problems[i].second, problems[i].first)), want["totals"][i].get<double>(),
                1e-9);
}

KMeansOptions options(std::int64_t clusters, std::int64_t pca = 0) {
  KMeansOptions made;
  made.clusters = clusters;
  made.iterations = 30;
  made.pca = pca;
  made.retriever.faiss = "cpu";
  return made;
}

TEST(KMeans, FindsClustersThatAreFarApart) {
  const test::Rows rows = test::tight_clusters(240, 12, 6, 0.05f, 3);
  Numbers truth;
  for (std::int64_t i = 0; i < 240; ++i) truth.push_back(i % 6);
  double best = 0;  // a start with two rows of one cluster may end in a worse optimum
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6, 7, 8}) {
    const Clusters found = kmeans(rows.view(), options(6), seed);
    best = std::max(best, normalized_mutual_information(found.assignment, truth));
    const Clusters reduced = kmeans(rows.view(), options(6, 5), seed);
    EXPECT_EQ(reduced.centroids.size(), 6u * 5u);
    EXPECT_GT(normalized_mutual_information(reduced.assignment, truth), 0.7);
  }
  EXPECT_DOUBLE_EQ(best, 1);
}

TEST(KMeans, EveryRowHasItsNearestCentroidAndCentroidsAreMeans) {
  const test::Rows rows = test::gaussian_rows(400, 5, 9);
  KMeansOptions wanted = options(7);
  wanted.iterations = 300;
  const Clusters found = kmeans(rows.view(), wanted, 11);
  std::vector<double> mean(7 * 5, 0), count(7, 0);
  double objective = 0;
  for (std::int64_t i = 0; i < 400; ++i) {
    std::vector<double> squared(7, 0);
    for (std::int64_t c = 0; c < 7; ++c)
      for (std::int64_t k = 0; k < 5; ++k)
        squared[c] += std::pow(static_cast<double>(rows.data[i * 5 + k]) - found.centroids[c * 5 + k], 2);
    const std::int64_t own = found.assignment[i];
    EXPECT_LE(squared[own], *std::min_element(squared.begin(), squared.end()) + 1e-5);
    objective += squared[own];
    ++count[own];
    for (std::int64_t k = 0; k < 5; ++k) mean[own * 5 + k] += rows.data[i * 5 + k];
  }
  EXPECT_NEAR(found.objective, objective, 1e-3 * objective);
  for (std::int64_t c = 0; c < 7; ++c)
    for (std::int64_t k = 0; k < 5; ++k) EXPECT_NEAR(mean[c * 5 + k] / count[c], found.centroids[c * 5 + k], 1e-4) << c;
}

TEST(KMeans, ASeedFixesTheClusters) {
  const test::Rows rows = test::gaussian_rows(300, 8, 4);
  const Clusters first = kmeans(rows.view(), options(8), 5), again = kmeans(rows.view(), options(8), 5);
  EXPECT_EQ(first.assignment, again.assignment);
  EXPECT_EQ(first.centroids, again.centroids);
  EXPECT_NE(first.centroids, kmeans(rows.view(), options(8), 6).centroids);
}

TEST(KMeans, SmallAndDegenerateInputs) {
  const test::Rows rows = test::gaussian_rows(4, 3, 1);
  const Clusters own = kmeans(rows.view(), options(4), 1);
  expect_permutation(own.assignment);
  EXPECT_NEAR(own.objective, 0, 1e-5);
  const Clusters one = kmeans(rows.view(), options(1), 1);
  EXPECT_EQ(one.assignment, Numbers(4, 0));
  test::Rows equal = rows;
  for (std::int64_t i = 0; i < 12; ++i) equal.data[i] = 0.5f;
  for (const std::int64_t cluster : kmeans(equal.view(), options(3), 1).assignment) EXPECT_LT(cluster, 3);
}

TEST(KMeans, RefusalsNameTheKey) {
  const test::Rows rows = test::gaussian_rows(5, 3, 1);
  const auto message = [&](const KMeansOptions& wanted) {
    try {
      kmeans(rows.view(), wanted, 1, "clustering");
      return std::string();
    } catch (const UserError& error) {
      return std::string(error.what());
    }
  };
  EXPECT_NE(message(options(6)).find("clustering.clusters is 6"), std::string::npos) << message(options(6));
  EXPECT_NE(message(options(2, 4)).find("clustering.pca is 4"), std::string::npos) << message(options(2, 4));
  EXPECT_EQ(message(options(5, 3)), "");
}

TEST(KMeans, ARowThatIsNotFiniteIsRefused) {
  test::Rows rows = test::gaussian_rows(5, 3, 1);
  rows.data[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(kmeans(rows.view(), options(2), 1), NanError);
}

TEST(KMeansOptions, JsonRoundTripAndRefusals) {
  KMeansOptions read;
  config_from_json(read, Json::parse(R"({"clusters":4,"retriever":{"faiss":"cpu","gpu_memory":0.25}})"));
  EXPECT_EQ(read.clusters, 4);
  EXPECT_EQ(read.retriever.gpu_memory, 0.25);
  for (const char* wrong : {R"({"clusters":0})", R"({"iterations":0})", R"({"pca":-1})", R"({"retriever":{"gpu_memory":1}})"})
    EXPECT_THROW(config_from_json(read, Json::parse(wrong), "clustering"), UserError) << wrong;
}

}  // namespace
}  // namespace swath
