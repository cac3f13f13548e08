// The GPU retriever: FAISS's GpuIndexFlatL2 on a CUDA device (methods.md §8).
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <faiss/gpu/GpuIndexFlat.h>
#include <faiss/gpu/StandardGpuResources.h>
#include <faiss/gpu/utils/DeviceUtils.h>
#include <faiss/impl/FaissException.h>
#include <fmt/format.h>

#include <limits>
#include <memory>
#include <string_view>

#include "engine/device/device.h"
#include "retrieval/retriever.h"

namespace swath {
namespace {

constexpr std::int64_t kMaxK = 2048;  // of FAISS's selection kernels since CUDA 9.2
// FAISS would take 1.5 GiB, which training may need.
constexpr std::size_t kTemporaryBytes = std::size_t{256} << 20;

// FAISS reports every failure of CUDA as one exception.
template <class F>
auto guarded(F&& f) {
  try {
    return f();
  } catch (const faiss::FaissException& error) {
    const std::string_view what = error.what();
    if (what.find("out of memory") != std::string_view::npos)
      throw DeviceError("the GPU has no memory left for the search; search with faiss=cpu");
    throw InternalError(fmt::format("FAISS failed on the GPU: {}", what));
  }
}

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw InternalError(fmt::format("{} failed: {}", what, cudaGetErrorString(status)));
}

int device_of(std::int64_t wanted) {
  int current = 0, count = 0;
  check(cudaGetDevice(&current), "cudaGetDevice");
  if (wanted < 0) return current;
  check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  if (wanted >= count)
    throw DeviceError(fmt::format("there is no GPU {} to search on, the last device is cuda:{}; choose gpu=0 to {}, or -1",
                                  wanted, count - 1, count - 1));
  return static_cast<int>(wanted);
}

std::size_t temporary_bytes(double share, int device) {
  if (share == 0) return kTemporaryBytes;
  const faiss::gpu::DeviceScope scope(device);
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<std::size_t>(share * static_cast<double>(total));
}

class FaissGpuRetriever final : public Retriever {
 public:
  FaissGpuRetriever(int device, double memory_share) : device_(device) {
    guarded([&] {
      resources_.setTempMemory(temporary_bytes(memory_share, device));
      resources_.setPinnedMemory(0);
      // Full float32, whatever this FAISS chose: the search's bound on rounding needs it.
      const cublasHandle_t blas = resources_.getResources()->getBlasHandle(device);
      if (cublasSetMathMode(blas, CUBLAS_DEFAULT_MATH) != CUBLAS_STATUS_SUCCESS)
        throw InternalError("cublasSetMathMode failed for FAISS's cuBLAS handle");
    });
  }

  std::string name() const override {
    return fmt::format("FAISS {}.{}.{}, GPU cuda:{}", FAISS_VERSION_MAJOR, FAISS_VERSION_MINOR, FAISS_VERSION_PATCH, device_);
  }

 protected:
  void reset(std::int64_t dim) override {
    faiss::gpu::GpuIndexFlatConfig config;
    config.device = device_;
    guarded([&] {
      index_.reset();
      index_ = std::make_unique<faiss::gpu::GpuIndexFlatL2>(&resources_, static_cast<int>(dim), config);
    });
  }
  // FAISS grows its memory as rows come; only their number can be checked.
  void reserve(std::int64_t rows) override {
    if (rows > std::numeric_limits<int>::max())
      throw UserError(fmt::format("FAISS holds at most {} rows on the GPU, not {}; search with faiss=cpu",
                                  std::numeric_limits<int>::max(), rows));
  }
  void add(const float* rows, std::int64_t count) override {
    guarded([&] { index_->add(count, rows); });
  }
  void nearest(const float* queries, std::int64_t count, std::int64_t k, float* squared_distances, std::int64_t* ids) override {
    guarded([&] { index_->search(count, queries, k, squared_distances, ids); });
  }
  std::int64_t max_k() const override { return kMaxK; }
  void clear() override { index_.reset(); }

 private:
  int device_;
  faiss::gpu::StandardGpuResources resources_;
  std::unique_ptr<faiss::gpu::GpuIndexFlatL2> index_;
};

}  // namespace

std::unique_ptr<Retriever> make_gpu_retriever(const RetrieverOptions& options) {
  if (!Device::cuda_available()) throw DeviceError("no CUDA device is visible for FAISS; search with faiss=cpu");
  return std::make_unique<FaissGpuRetriever>(device_of(options.gpu), options.gpu_memory);
}

}  // namespace swath
