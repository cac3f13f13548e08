// Search in a filled index against FAISS's own flat index of the same rows and device, in one run, in turns: one query at a
// time, as swath serve asks, and many at once, as swath search does. Reported: milliseconds of each (the fastest of --repeats),
// and their ratio.
#include <faiss/IndexFlat.h>
#if SWATH_WITH_FAISS_GPU
#include <faiss/gpu/GpuIndexFlat.h>
#include <faiss/gpu/StandardGpuResources.h>
#endif
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "engine/core/config.h"
#include "retrieval/retriever.h"

namespace {

struct Options {
  std::int64_t rows = 100000, dim = 512, k = 8, many = 1000, single = 20;
  int repeats = 5;
  bool gpu = false, json = false;
};

/// FAISS's own index, with what it needs of a GPU.
struct FaissIndex {
#if SWATH_WITH_FAISS_GPU
  faiss::gpu::StandardGpuResources resources;
#endif
  std::unique_ptr<faiss::Index> index;

  FaissIndex(std::int64_t dim, bool gpu) {
    if (!gpu) {
      index = std::make_unique<faiss::IndexFlatL2>(dim);
      return;
    }
#if SWATH_WITH_FAISS_GPU
    index = std::make_unique<faiss::gpu::GpuIndexFlatL2>(&resources, static_cast<int>(dim));
#endif
  }
};

struct Compared {
  std::string name;
  double own = HUGE_VAL, faiss = HUGE_VAL;  // milliseconds
  std::int64_t equal = 0, neighbours = 0;
};

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

Compared compare(swath::GalleryIndex& ours, const faiss::Index& theirs, const std::vector<float>& queries, const Options& o,
                 std::int64_t count, std::int64_t at_once) {
  Compared result{
      .name = at_once == 1 ? fmt::format("{} queries, one at a time", count) : fmt::format("{} queries at once", count),
      .neighbours = count * o.k};
  std::vector<std::int64_t> found(count * o.k), want(count * o.k);
  for (int r = 0; r < o.repeats; ++r) {
    result.own = std::min(result.own, milliseconds_of([&] {
                            for (std::int64_t q = 0; q < count; q += at_once) {
                              const auto answer = ours.search({queries.data() + q * o.dim, at_once, o.dim}, o.k);
                              std::copy(answer.ids.begin(), answer.ids.end(), found.begin() + q * o.k);
                            }
                          }));
    result.faiss =
        std::min(result.faiss, milliseconds_of([&] {
                   std::vector<float> distances(at_once * o.k);
                   for (std::int64_t q = 0; q < count; q += at_once)
                     theirs.search(at_once, queries.data() + q * o.dim, o.k, distances.data(), want.data() + q * o.k);
                 }));
  }
  for (std::size_t i = 0; i < found.size(); ++i) result.equal += found[i] == want[i];
  return result;
}

int run(const Options& o) {
  auto retriever = o.gpu ? swath::make_gpu_retriever() : swath::make_cpu_retriever();
  if (!retriever)
    throw swath::UserError("this build has no FAISS for the GPU; configure with -DSWATH_FAISS_GPU=ON, or leave --gpu out");
  const std::vector<float> gallery = unit_rows(o.rows, o.dim, 1), queries = unit_rows(std::max(o.many, o.single), o.dim, 2);
  FaissIndex theirs(o.dim, o.gpu);
  theirs.index->add(o.rows, gallery.data());
  swath::GalleryIndex ours(std::move(retriever), {gallery.data(), o.rows, o.dim});
  swath::Json json{{"index", ours.name()}, {"rows", o.rows}, {"dim", o.dim}, {"k", o.k}, {"searches", swath::Json::array()}};
  if (!o.json) fmt::print("{} x {}, k = {}, {}\n", o.rows, o.dim, o.k, ours.name());
  for (const auto& [count, at_once] : {std::pair{o.single, std::int64_t{1}}, std::pair{o.many, o.many}}) {
    const Compared c = compare(ours, *theirs.index, queries, o, count, at_once);
    json["searches"].push_back({{"name", c.name},
                                {"swath_ms", c.own},
                                {"faiss_ms", c.faiss},
                                {"ratio", c.own / c.faiss},
                                {"equal_neighbours", c.equal},
                                {"neighbours", c.neighbours}});
    if (!o.json)
      fmt::print("{:<28}{:10.2f} ms, FAISS {:10.2f} ms, ratio {:.3f}; {} of {} neighbours equal\n", c.name, c.own, c.faiss,
                 c.own / c.faiss, c.equal, c.neighbours);
  }
  if (o.json) fmt::print("{}\n", json.dump());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"swath's search against FAISS's own"};
  Options o;
  app.add_option("--rows", o.rows, "embeddings in the index")->capture_default_str();
  app.add_option("--dim", o.dim, "their dimension")->capture_default_str();
  app.add_option("--k", o.k, "neighbours")->capture_default_str();
  app.add_option("--many", o.many, "queries of the search of many at once")->capture_default_str();
  app.add_option("--single", o.single, "queries that are searched one at a time")->capture_default_str();
  app.add_option("--repeats", o.repeats, "runs of each, in turn; the fastest counts")->capture_default_str();
  app.add_flag("--gpu", o.gpu, "both search on the first GPU");
  app.add_flag("--json", o.json, "print one JSON object");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o);
  } catch (const swath::Error& error) {
    fmt::print(stderr, "search_bench: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
