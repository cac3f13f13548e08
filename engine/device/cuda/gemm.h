// Products of matrices through cuBLASLt, full float32.
#pragma once
#include <cublasLt.h>

#include <memory>

#include "engine/core/storage.h"
#include "engine/device/backend.h"
#include "engine/device/cuda/context.h"
#include "engine/device/plan_cache.h"

namespace swath::cuda {

/// `count` products with these distances, in elements, between consecutive matrices.
struct GemmBatch {
  std::int64_t count = 1;
  std::int64_t stride_a = 0, stride_b = 0, stride_c = 0;
};

class Products {
 public:
  Products(std::shared_ptr<const Context> context, std::shared_ptr<StoragePool> pool);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  void multiply(const Gemm& gemm, const GemmBatch& batch);

 private:
  struct Descriptors;
  void multiply_empty(const Gemm& gemm, const GemmBatch& batch);

  std::shared_ptr<const Context> context_;
  std::shared_ptr<StoragePool> pool_;
  cublasLtHandle_t handle_ = nullptr;
  PlanCache<17, cublasLtMatmulHeuristicResult_t> algorithms_;
};

}  // namespace swath::cuda
