// Evaluation (search and every metric of methods.md §8) against FAISS's own IndexFlatL2 search of the same rows, in one run.
// Reported: seconds of each part, ratio = evaluate / FAISS, and peak memory beside the input.
#include <faiss/IndexFlat.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <vector>

#include "retrieval/evaluator.h"

namespace {

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

std::vector<float> unit_rows(std::int64_t rows, std::int64_t dim) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> data(rows * dim);
  for (float& v : data) v = normal(random);
  return swath::normalised({data.data(), rows, dim});
}

/// Label counts and frequencies like BigEarthNet's 43 classes: 1 to 8 labels, class c with weight 1 / (c + 1).
std::vector<std::uint64_t> labels_of(std::int64_t rows) {
  std::mt19937 random(2);
  std::vector<double> weights(43);
  for (std::size_t c = 0; c < weights.size(); ++c) weights[c] = 1 / (static_cast<double>(c) + 1);
  std::discrete_distribution<int> pick(weights.begin(), weights.end());
  std::discrete_distribution<int> count({0, 20, 20, 20, 15, 12, 8, 3, 2});
  std::vector<std::uint64_t> labels(rows);
  for (std::uint64_t& row : labels)
    for (int n = count(random); n > 0; --n) row |= std::uint64_t{1} << pick(random);
  return labels;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"swath evaluate against FAISS's own search"};
  std::int64_t rows = 60000, dim = 512;
  int repeats = 1;
  app.add_option("--rows", rows, "embeddings")->capture_default_str();
  app.add_option("--dim", dim, "their dimension")->capture_default_str();
  app.add_option("--repeats", repeats, "runs of each, in turn; the fastest counts")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const std::vector<float> embeddings = unit_rows(rows, dim);
  const std::vector<std::uint64_t> labels = labels_of(rows);
  const double input_mib = peak_mib();
  double ours = HUGE_VAL, faiss_search = HUGE_VAL, ours_mib = 0;
  swath::Evaluation evaluation;
  for (int r = 0; r < repeats; ++r) {
    ours = std::min(ours, seconds_of([&] {
                      evaluation = swath::evaluate({{embeddings.data(), rows, dim}, {labels.data(), rows, 43}},
                                                   {.ks = {1, 2, 4, 8}, .metrics = {}, .retriever = {.faiss = "cpu"}});
                    }));
    if (r == 0) ours_mib = peak_mib();
    std::vector<float> distances(rows * 9);
    std::vector<faiss::Index::idx_t> ids(rows * 9);
    faiss::IndexFlatL2 index(dim);
    index.add(rows, embeddings.data());
    faiss_search =
        std::min(faiss_search, seconds_of([&] { index.search(rows, embeddings.data(), 9, distances.data(), ids.data()); }));
  }
  fmt::print("{}\n{} x {}, K 1 2 4 8, 43 classes; peak memory {:.0f} MiB, {:.0f} of them before evaluate\n",
             evaluation.table.to_text(), rows, dim, ours_mib, input_mib);
  fmt::print("evaluate {:.2f} s (search {:.2f}, metrics {:.2f}), {}: search(k = 9) {:.2f} s, ratio {:.3f}\n", ours,
             evaluation.search_seconds, evaluation.metric_seconds, evaluation.retriever, faiss_search, ours / faiss_search);
  return 0;
}
