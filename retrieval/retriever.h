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
  template <class V>
  void fields(V& v) {
    v("faiss", faiss, "which FAISS searches: auto is the GPU's where it is built and a GPU is present",
      OneOf{{"auto", "cpu", "gpu"}});
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
/// in double precision, which decides order and ties. A query is searched again, wider, until no row outside the
/// candidates can belong to the answer by the error bound of FAISS's single-precision distances.
/// Equal rows of the gallery are searched once. Results depend neither on the number of threads nor on the device.
///
/// Memory beside the input and the result, for n gallery rows of dimension d: 4·n·d bytes for FAISS's copy, about
/// 60·n bytes to find equal rows, and per block of at most 4,096 queries 16·d + 12·(k + 17) bytes each and FAISS's 16 MiB
/// buffer.
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
  // The seam that a CPU and a GPU index fill: plain float32 brute force, squared distances with an error of at most
  // (dim + 8) · 2^-24 · (|x| + |y|)², candidates in any order of ties.
  virtual void reset(std::int64_t dim) = 0;
  virtual void add(const float* rows, std::int64_t count) = 0;                    // [count][dim]
  virtual void nearest(const float* queries, std::int64_t count, std::int64_t k,  // [count][dim]
                       float* squared_distances, std::int64_t* ids) = 0;          // [count][k], nearest first
  virtual std::int64_t max_k() const = 0;                                         // largest k of nearest()

 private:
  friend class ExactSearch;
};

/// Throws UserError for faiss = gpu when this build has no FAISS for the GPU, DeviceError when no GPU is present.
std::unique_ptr<Retriever> make_retriever(const RetrieverOptions& options = {});

/// FAISS's IndexFlatL2 on the CPU.
std::unique_ptr<Retriever> make_cpu_retriever();
/// FAISS's flat index on the GPU; null when this build has none. Throws DeviceError when no GPU is present.
std::unique_ptr<Retriever> make_gpu_retriever();

}  // namespace swath
