// The CPU retriever: FAISS's IndexFlatL2 (methods.md §8).
#include <faiss/IndexFlat.h>

#include <fmt/format.h>

#include <limits>
#include <memory>

#include "retrieval/retriever.h"

namespace swath {
namespace {

class FaissCpuRetriever final : public Retriever {
 public:
  std::string name() const override {
    return fmt::format("FAISS {}.{}.{}, CPU", FAISS_VERSION_MAJOR, FAISS_VERSION_MINOR, FAISS_VERSION_PATCH);
  }

 protected:
  void reset(std::int64_t dim) override { index_ = std::make_unique<faiss::IndexFlatL2>(dim); }
  void reserve(std::int64_t rows) override { index_->codes.reserve(static_cast<std::size_t>(rows) * index_->code_size); }
  void add(const float* rows, std::int64_t count) override { index_->add(count, rows); }
  void nearest(const float* queries, std::int64_t count, std::int64_t k, float* squared_distances, std::int64_t* ids) override {
    index_->search(count, queries, k, squared_distances, ids);
  }
  std::int64_t max_k() const override { return std::numeric_limits<std::int32_t>::max(); }
  void clear() override { index_.reset(); }

 private:
  std::unique_ptr<faiss::IndexFlatL2> index_;
};

}  // namespace

std::unique_ptr<Retriever> make_cpu_retriever() { return std::make_unique<FaissCpuRetriever>(); }

}  // namespace swath
