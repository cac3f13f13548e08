// Metrics against scikit-learn, when SWATH_PEERS_PYTHON names a python that has it (methods.md §8).
#include <gtest/gtest.h>

#include <cstdlib>

#include "retrieval/evaluator.h"
#include "tests/retrieval/peer_script.h"
#include "tests/retrieval/retrieval_data.h"

namespace swath {
namespace {

TEST(MetricsAgainstSklearn, AllThatAreDefinedEqually) {
  const char* python = std::getenv("SWATH_PEERS_PYTHON");
  if (!python) GTEST_SKIP() << "SWATH_PEERS_PYTHON is not set";
  for (const auto& [rows, classes, most] : std::vector<std::array<int, 3>>{{200, 43, 6}, {90, 130, 9}, {60, 3, 1}}) {
    const auto embeddings = test::gaussian_rows(rows, 16, 5);
    const auto labels = test::random_labels(rows, classes, most, 6);
    const Evaluation evaluation = evaluate({embeddings.view(), labels.view()});
    Json request = {{"classes", classes}, {"truth", labels.sets}, {"ks", evaluation.table.ks}, {"neighbours", Json::array()}};
    const Neighbours& found = evaluation.neighbours;
    for (std::int64_t i = 0; i < found.queries; ++i)
      request["neighbours"].push_back(std::vector<std::int64_t>(found.row(i), found.row(i) + found.k));
    const Json want = test::run_peer(python, "sklearn_metrics.py", request);
    ASSERT_EQ(want.size(), 9u);
    for (const auto& [name, values] : want.items())
      for (const auto& [k, value] : values.items())
        EXPECT_NEAR(evaluation.table.at(name, std::stoll(k)), value.get<double>(), 1e-12)
            << name << "@" << k << " rows " << rows;
  }
}

}  // namespace
}  // namespace swath
