#include "retrieval/kmeans.h"

#include <faiss/Clustering.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/FaissException.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

namespace swath {

/// A retriever's index in the form that FAISS's clustering asks for: it adds the centroids and looks for the nearest.
class RetrieverIndex final : public faiss::Index {
 public:
  RetrieverIndex(Retriever& retriever, std::int64_t dim) : Index(dim, faiss::METRIC_L2), retriever_(retriever) { reset(); }
  ~RetrieverIndex() override { retriever_.clear(); }

  void add(idx_t n, const float* x) override {
    retriever_.add(x, n);
    ntotal += n;
  }
  void search(idx_t n, const float* x, idx_t k, float* distances, idx_t* labels,
              const faiss::SearchParameters* params = nullptr) const override {
    SWATH_CHECK(!params);
    retriever_.nearest(x, n, k, distances, labels);
  }
  void reset() override {
    retriever_.reset(d);
    ntotal = 0;
  }

 private:
  Retriever& retriever_;
};

namespace {

std::string key(const std::string& path, const char* name) { return path.empty() ? name : path + "." + name; }

void check(EmbeddingView rows, const KMeansOptions& options, const std::string& path) {
  if (options.clusters > rows.rows)
    throw UserError(fmt::format("{} is {}, but there are {} rows to cluster; choose at most {}", key(path, "clusters"),
                                options.clusters, rows.rows, rows.rows));
  const std::int64_t most = std::min(rows.rows, rows.dim);
  if (options.pca > most)
    throw UserError(fmt::format("{} is {}, but {} rows of {} features have at most {} components; choose fewer",
                                key(path, "pca"), options.pca, rows.rows, rows.dim, most));
  for (std::int64_t i = 0; i < rows.rows; ++i)
    if (!std::all_of(rows.row(i), rows.row(i) + rows.dim, [](float v) { return std::isfinite(v); }))
      throw NanError(fmt::format("row {} to cluster is not finite; the model that made it has diverged", i));
}

std::vector<float> principal_components(EmbeddingView rows, std::int64_t components) {
  faiss::PCAMatrix pca(static_cast<int>(rows.dim), static_cast<int>(components));
  pca.train(rows.rows, rows.data);
  std::vector<float> reduced(static_cast<std::size_t>(rows.rows * components));
  pca.apply_noalloc(rows.rows, rows.data, reduced.data());
  return reduced;
}

}  // namespace

Clusters kmeans(EmbeddingView rows, const KMeansOptions& options, std::uint64_t seed, const std::string& path) {
  check(rows, options, path);
  std::vector<float> reduced;
  if (options.pca > 0) {
    reduced = principal_components(rows, options.pca);
    rows = {reduced.data(), rows.rows, options.pca};
  }
  faiss::ClusteringParameters parameters;
  parameters.niter = static_cast<int>(options.iterations);
  parameters.seed = static_cast<int>(seed % static_cast<std::uint64_t>(std::numeric_limits<int>::max()));
  parameters.min_points_per_centroid = 1;
  parameters.max_points_per_centroid = std::numeric_limits<int>::max() / static_cast<int>(options.clusters);
  faiss::Clustering clustering(static_cast<int>(rows.dim), static_cast<int>(options.clusters), parameters);
  const auto retriever = make_retriever(options.retriever);
  RetrieverIndex index(*retriever, rows.dim);
  clustering.train(rows.rows, rows.data, index);

  Clusters found;
  found.centroids = clustering.centroids;
  found.assignment.resize(static_cast<std::size_t>(rows.rows));
  std::vector<float> squared(found.assignment.size());
  index.search(rows.rows, rows.data, 1, squared.data(), found.assignment.data());
  found.retriever = retriever->name();
  for (const float d : squared) found.objective += static_cast<double>(d);
  return found;
}

}  // namespace swath
