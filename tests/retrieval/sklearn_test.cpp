// Metrics against scikit-learn, when SWATH_PEERS_PYTHON names a python that has it (methods.md §8).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include "retrieval/evaluator.h"
#include "tests/retrieval/retrieval_data.h"

namespace swath {
namespace {

Json run_script(const std::string& python, const Json& request) {
  const std::string file = std::filesystem::temp_directory_path() / ("swath_sklearn_" + std::to_string(getpid()) + ".json");
  std::ofstream(file) << request.dump();
  const std::string command = "'" + python + "' -W ignore '" SWATH_TEST_FOLDER "/sklearn_metrics.py' '" + file + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  char buffer[4096];
  while (pipe && std::fgets(buffer, sizeof buffer, pipe.get())) text += buffer;
  std::filesystem::remove(file);
  return Json::parse(text);
}

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
    const Json want = run_script(python, request);
    ASSERT_EQ(want.size(), 9u);
    for (const auto& [name, values] : want.items())
      for (const auto& [k, value] : values.items())
        EXPECT_NEAR(evaluation.table.at(name, std::stoll(k)), value.get<double>(), 1e-12)
            << name << "@" << k << " rows " << rows;
  }
}

}  // namespace
}  // namespace swath
