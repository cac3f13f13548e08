// Checks of a search, and the choice between FAISS on the CPU and on the GPU (methods.md §8).
#include "retrieval/retriever.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

#include "engine/core/log.h"
#include "kernels/parallel.h"
#include "retrieval/exact_search.h"

namespace swath {
namespace {

void check_rows(EmbeddingView rows, const char* what) {
  if (rows.rows < 1 || rows.dim < 1 || !rows.data)
    throw UserError(fmt::format("the {} hold {} rows of dimension {}; both must be at least 1", what, rows.rows, rows.dim));
  const auto finite = [&](std::int64_t i) {
    return std::all_of(rows.row(i), rows.row(i) + rows.dim, [](float v) { return std::isfinite(v); });
  };
  std::atomic<bool> all_finite{true};
  kernels::parallel_for(rows.rows, [&](std::int64_t i) {
    if (!finite(i)) all_finite = false;
  });
  for (std::int64_t i = 0; !all_finite; ++i)
    if (!finite(i)) throw UserError(fmt::format("row {} of the {} is not finite; check the model that made it", i, what));
}

void check_k(std::int64_t k, std::int64_t available) {
  if (k < 1 || k > available)
    throw UserError(fmt::format("K = {} neighbours were asked for; choose 1 to {}, the rows to choose from", k, available));
}

void check_queries(EmbeddingView queries, EmbeddingView gallery, std::int64_t k) {
  check_rows(queries, "queries");
  if (queries.dim != gallery.dim)
    throw UserError(
        fmt::format("queries have dimension {}, the gallery has {}; embed both with the same model", queries.dim, gallery.dim));
  check_k(k, gallery.rows);
}

/// The CPU's, where `why`.
std::unique_ptr<Retriever> search_on_cpu(const RetrieverOptions& options, const char* why) {
  if (options.gpu >= 0 || options.gpu_memory > 0)
    throw UserError(fmt::format(
        "{} chooses how a GPU searches, but the CPU does: {}; leave it out",
        options.gpu >= 0 ? fmt::format("gpu={}", options.gpu) : fmt::format("gpu_memory={}", options.gpu_memory), why));
  return make_cpu_retriever();
}

}  // namespace

Neighbours Retriever::search_all(EmbeddingView rows, std::int64_t k) {
  check_rows(rows, "embeddings");
  check_k(k, rows.rows - 1);
  return ExactSearch(*this, rows).run(rows, k, SelfMatch::exclude);
}

Neighbours Retriever::search(EmbeddingView queries, EmbeddingView gallery, std::int64_t k) {
  check_rows(gallery, "gallery embeddings");
  check_queries(queries, gallery, k);
  return ExactSearch(*this, gallery).run(queries, k, SelfMatch::keep);
}

GalleryIndex::GalleryIndex(std::unique_ptr<Retriever> retriever, EmbeddingView gallery)
    : retriever_(std::move(retriever)), gallery_(gallery) {
  check_rows(gallery, "gallery embeddings");
  search_ = std::make_unique<ExactSearch>(*retriever_, gallery);
}

GalleryIndex::~GalleryIndex() = default;

Neighbours GalleryIndex::search(EmbeddingView queries, std::int64_t k) {
  check_queries(queries, gallery_, k);
  return search_->run(queries, k, SelfMatch::keep);
}

std::unique_ptr<Retriever> make_retriever(const RetrieverOptions& options) {
  if (options.faiss == "cpu") return search_on_cpu(options, "faiss is cpu");
  if (options.faiss != "auto" && options.faiss != "gpu")
    throw UserError(fmt::format("there is no faiss={}; choose auto, cpu or gpu", options.faiss));
  try {
    if (auto gpu = make_gpu_retriever(options)) return gpu;
  } catch (const DeviceError& problem) {
    if (options.faiss == "gpu" || options.gpu >= 0 || options.gpu_memory > 0) throw;
    static std::once_flag said;
    std::call_once(said, [&] { log::info("FAISS searches on the CPU: {}", problem.what()); });
    return make_cpu_retriever();
  }
  if (options.faiss == "gpu")
    throw UserError("this build has no FAISS for the GPU; configure with -DSWATH_FAISS_GPU=ON, or search with faiss=cpu");
  return search_on_cpu(options, "this build has no FAISS for the GPU");
}

}  // namespace swath
