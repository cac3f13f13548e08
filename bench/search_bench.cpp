// Search in a filled index against FAISS's own IndexFlatL2 of the same rows, in one run, in turns: one query at a time, as
// swath serve asks, and many at once, as swath search does. Reported: milliseconds of each (the fastest of --repeats), and
// their ratio.
#include <faiss/IndexFlat.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "retrieval/retriever.h"

namespace {

double milliseconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

std::vector<float> unit_rows(std::int64_t rows, std::int64_t dim, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> data(rows * dim);
  for (std::int64_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (std::int64_t c = 0; c < dim; ++c) {
      float& v = data[i * dim + c];
      v = normal(random);
      sum += static_cast<double>(v) * v;
    }
    for (std::int64_t c = 0; c < dim; ++c) data[i * dim + c] /= static_cast<float>(std::sqrt(sum));
  }
  return data;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"swath's search against FAISS's own"};
  std::int64_t rows = 100000, dim = 512, k = 8, many = 1000, single = 20;
  int repeats = 5;
  app.add_option("--rows", rows, "embeddings in the index")->capture_default_str();
  app.add_option("--dim", dim, "their dimension")->capture_default_str();
  app.add_option("--k", k, "neighbours")->capture_default_str();
  app.add_option("--many", many, "queries of the search of many at once")->capture_default_str();
  app.add_option("--single", single, "queries that are searched one at a time")->capture_default_str();
  app.add_option("--repeats", repeats, "runs of each, in turn; the fastest counts")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const std::vector<float> gallery = unit_rows(rows, dim, 1), queries = unit_rows(std::max(many, single), dim, 2);
  faiss::IndexFlatL2 theirs(dim);
  theirs.add(rows, gallery.data());
  swath::GalleryIndex ours(swath::make_cpu_retriever(), {gallery.data(), rows, dim});
  fmt::print("{} x {}, k = {}, {}\n", rows, dim, k, ours.name());

  const auto compare = [&](const char* name, std::int64_t count, std::int64_t at_once) {
    double own = HUGE_VAL, faiss_own = HUGE_VAL;
    std::vector<std::int64_t> found(count * k), want(count * k);
    for (int r = 0; r < repeats; ++r) {
      own = std::min(own, milliseconds_of([&] {
                       for (std::int64_t q = 0; q < count; q += at_once) {
                         const auto answer = ours.search({queries.data() + q * dim, at_once, dim}, k);
                         std::copy(answer.ids.begin(), answer.ids.end(), found.begin() + q * k);
                       }
                     }));
      faiss_own = std::min(faiss_own, milliseconds_of([&] {
                             std::vector<float> distances(at_once * k);
                             for (std::int64_t q = 0; q < count; q += at_once)
                               theirs.search(at_once, queries.data() + q * dim, k, distances.data(), want.data() + q * k);
                           }));
    }
    std::int64_t equal = 0;
    for (std::size_t i = 0; i < found.size(); ++i) equal += found[i] == want[i];
    fmt::print("{:<28}{:10.2f} ms, FAISS {:10.2f} ms, ratio {:.3f}; {} of {} neighbours equal\n", name, own, faiss_own,
               own / faiss_own, equal, found.size());
  };
  compare(fmt::format("{} queries, one at a time", single).c_str(), single, 1);
  compare(fmt::format("{} queries at once", many).c_str(), many, many);
  return 0;
}
