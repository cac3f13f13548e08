// Nearest neighbours by Euclidean distance with FAISS's flat index (methods.md §8).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/config.h"
#include "retrieval/views.h"

namespace swath {

struct RetrieverOptions {
  std::string faiss = "auto";
  std::int64_t gpu = -1;
  double gpu_memory = 0;
  template <class V>
  void fields(V& v) {
    v("faiss", faiss, "which FAISS searches: auto is the GPU's where it is built and a GPU is present",
      OneOf{{"auto", "cpu", "gpu"}});
    v("gpu", gpu, "number N of the GPU cuda:N that searches; -1: the one that trains or embeds, else the first", Range{-1, 63});
    v("gpu_memory", gpu_memory, "share of the GPU's memory that FAISS reserves for intermediate results; 0: 256 MiB",
      Range{0, 0.9});
  }
};

/// Neighbours of each query, nearest first, ties by the lower index.
struct Neighbours {
  std::int64_t queries = 0;
  std::int64_t k = 0;
  std::vector<std::int64_t> ids;  // [queries][k], rows of the gallery
  std::vector<float> distances;   // [queries][k], Euclidean

  const std::int64_t* row(std::int64_t i) const { return ids.data() + i * k; }
};

/// Exact k nearest neighbours. FAISS proposes a few more candidates than asked for; their distances are then computed
/// in double precision, which decides order and ties. A query is searched again, wider, until no row outside its
/// candidates can belong to the answer, given the rounding of FAISS's single-precision distances: bounded by
/// (4·√d + 16) · 2^-24 · (|x| + |y|)², the probabilistic bound of N. Higham and T. Mary 2019 with λ = 4 on norms.
/// The gallery's mean is subtracted before FAISS sees a row, which keeps that bound small for concentrated embeddings,
/// and equal rows are searched once. Results depend neither on the number of threads nor on which FAISS searched.
///
/// Memory beside input and result, for n gallery rows of dimension d: 4·n·d bytes for FAISS's copy, 40·n bytes to find
/// equal rows, and per block of at most 4,096 queries 4·d + 12·(k + 17) bytes each and FAISS's 16 MiB of distances;
/// a block of a wider search holds at most 2^21 candidates (75 MB with FAISS's own).
/// Time: one FAISS search; more only where many rows lie within the rounding of one another.
class Retriever {
 public:
  virtual ~Retriever() = default;

  /// Which FAISS retrieves: "FAISS 1.7.3, CPU".
  virtual std::string name() const = 0;

  /// The k nearest of the other rows for every row; a row is left out of its own answer by index.
  /// Throws UserError when k < 1, k > rows − 1, or a value is not finite.
  Neighbours search_all(EmbeddingView rows, std::int64_t k);
  /// The k nearest gallery rows for every query. Throws UserError when k < 1, k > gallery.rows, the dimensions differ,
  /// or a value is not finite.
  Neighbours search(EmbeddingView queries, EmbeddingView gallery, std::int64_t k);

 protected:
  // The seam that a CPU and a GPU index fill: float32 brute force whose squared distances are off by rounding alone
  // (|x|² + |y|² − 2xy summed in float32; no TF32). Rows that tie may come in any order.
  virtual void reset(std::int64_t dim) = 0;
  virtual void reserve(std::int64_t rows) = 0;
  virtual void add(const float* rows, std::int64_t count) = 0;  // [count][dim]
  // queries [count][dim], squared_distances and ids [count][k], nearest first; k ≤ rows added, k ≤ max_k().
  virtual void nearest(const float* queries, std::int64_t count, std::int64_t k, float* squared_distances,
                       std::int64_t* ids) = 0;
  virtual std::int64_t max_k() const = 0;
  virtual void clear() = 0;  // frees the rows

 private:
  friend class ExactSearch;
  friend class RetrieverIndex;
};

class ExactSearch;

/// A gallery that is searched many times: FAISS's index is filled once. Answers are those of Retriever::search. One thread at
/// a time.
class GalleryIndex {
 public:
  /// The gallery must outlive the index. Throws UserError when it is empty or a value is not finite.
  GalleryIndex(std::unique_ptr<Retriever> retriever, EmbeddingView gallery);
  ~GalleryIndex();
  GalleryIndex(const GalleryIndex&) = delete;
  GalleryIndex& operator=(const GalleryIndex&) = delete;

  /// As Retriever::search.
  Neighbours search(EmbeddingView queries, std::int64_t k);
  std::string name() const { return retriever_->name(); }

 private:
  std::unique_ptr<Retriever> retriever_;
  EmbeddingView gallery_;
  std::unique_ptr<ExactSearch> search_;
};

/// faiss = auto: the CPU's where no GPU's can be had, for a reason that is logged once. Throws DeviceError without the GPU that
/// was asked for, UserError for faiss = gpu in a build that has none, and for a gpu or gpu_memory that the CPU's would ignore.
std::unique_ptr<Retriever> make_retriever(const RetrieverOptions& options = {});

/// FAISS's IndexFlatL2 on the CPU.
std::unique_ptr<Retriever> make_cpu_retriever();
/// FAISS's flat index on the GPU; null when this build has none. Throws DeviceError when no GPU is present or
/// not the one asked for. −1 is the device that is current in the calling thread.
std::unique_ptr<Retriever> make_gpu_retriever(const RetrieverOptions& options = {});

}  // namespace swath
