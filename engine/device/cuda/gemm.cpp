// Row-major products of matrices through cuBLASLt, and its choice of algorithm.
#include "engine/device/cuda/gemm.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "engine/device/cuda/error.h"

namespace swath::cuda {

namespace {

constexpr std::size_t kAlgorithms = 1024;
constexpr std::size_t kWorkspace = std::size_t{32} << 20;  // what NVIDIA recommends for Hopper

std::uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return static_cast<std::uint32_t>(std::min<std::uintptr_t>(address & (~address + 1), 256));
}

std::int64_t leading(std::int64_t value) { return std::max<std::int64_t>(1, value); }

template <class T>
void set(cublasLtMatmulDescOpaque_t& desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  SWATH_CUDA_CALL(cublasLtMatmulDescSetAttribute(&desc, attribute, &value, sizeof value));
}

cublasLtMatrixLayoutOpaque_t layout(std::int64_t rows, std::int64_t columns, std::int64_t leading_dimension, std::int64_t count,
                                    std::int64_t stride) {
  cublasLtMatrixLayoutOpaque_t result;
  SWATH_CUDA_CALL(cublasLtMatrixLayoutInit(&result, CUDA_R_32F, static_cast<std::uint64_t>(rows),
                                           static_cast<std::uint64_t>(columns), leading_dimension));
  if (count != 1) {
    const auto batch = static_cast<std::int32_t>(count);
    SWATH_CUDA_CALL(cublasLtMatrixLayoutSetAttribute(&result, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch));
    SWATH_CUDA_CALL(
        cublasLtMatrixLayoutSetAttribute(&result, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
  }
  return result;
}

PlanKey<17> key_of(const Gemm& g, const GemmBatch& b) {
  return {g.m,
          g.n,
          g.k,
          g.lda,
          g.ldb,
          g.ldc,
          static_cast<int>(g.op_a),
          static_cast<int>(g.op_b),
          g.bias ? 1 : 0,
          b.count,
          b.stride_a,
          b.stride_b,
          b.stride_c,
          alignment_of(g.a),
          alignment_of(g.b),
          alignment_of(g.c),
          g.bias ? alignment_of(g.bias) : 0};
}

}  // namespace

// cuBLASLt counts in columns, so a row-major product C = A B is given to it as Cᵀ = Bᵀ Aᵀ: its first matrix is B, its
// second A, and the bias of C's columns is one of Cᵀ's rows, as its epilogue wants.
struct Products::Descriptors {
  Descriptors(const Gemm& g, const GemmBatch& b) {
    SWATH_CUDA_CALL(cublasLtMatmulDescInit(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const bool plain_a = g.op_a == Gemm::Op::plain, plain_b = g.op_b == Gemm::Op::plain;
    set(product, CUBLASLT_MATMUL_DESC_TRANSA, plain_b ? CUBLAS_OP_N : CUBLAS_OP_T);
    set(product, CUBLASLT_MATMUL_DESC_TRANSB, plain_a ? CUBLAS_OP_N : CUBLAS_OP_T);
    if (g.bias) {
      set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
    }
    first = layout(plain_b ? g.n : g.k, plain_b ? g.k : g.n, leading(g.ldb), b.count, b.stride_b);
    second = layout(plain_a ? g.k : g.m, plain_a ? g.m : g.k, leading(g.lda), b.count, b.stride_a);
    result = layout(g.n, g.m, leading(g.ldc), b.count, b.stride_c);
  }

  cublasLtMatmulHeuristicResult_t choose(cublasLtHandle_t handle, const Gemm& g) {
    cublasLtMatmulPreferenceOpaque_t wish;
    SWATH_CUDA_CALL(cublasLtMatmulPreferenceInit(&wish));
    const auto want = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      SWATH_CUDA_CALL(cublasLtMatmulPreferenceSetAttribute(&wish, attribute, &value, sizeof value));
    };
    want(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
    want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(g.b));
    want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(g.a));
    want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(g.c));
    want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(g.c));
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    SWATH_CUDA_CALL(
        cublasLtMatmulAlgoGetHeuristic(handle, &product, &first, &second, &result, &result, &wish, 1, &found, &count));
    SWATH_CHECK(count == 1, "cuBLASLt has no algorithm for {}x{}x{}", g.m, g.n, g.k);
    return found;
  }

  cublasLtMatmulDescOpaque_t product;
  cublasLtMatrixLayoutOpaque_t first, second, result;
};

Products::Products(std::shared_ptr<const Context> context, std::shared_ptr<StoragePool> pool)
    : context_(std::move(context)), pool_(std::move(pool)), algorithms_(kAlgorithms) {
  context_->make_current();
  SWATH_CUDA_CALL(cublasLtCreate(&handle_));
}

Products::~Products() { cublasLtDestroy(handle_); }

void Products::multiply(const Gemm& g, const GemmBatch& batch) {
  SWATH_CHECK(g.m >= 0 && g.n >= 0 && g.k >= 0 && g.ldc >= g.n, "{}x{}x{}, ldc {}", g.m, g.n, g.k, g.ldc);
  SWATH_CHECK(g.lda >= (g.op_a == Gemm::Op::plain ? g.k : g.m) && g.ldb >= (g.op_b == Gemm::Op::plain ? g.n : g.k),
              "lda {}, ldb {}", g.lda, g.ldb);
  if (batch.count > std::numeric_limits<std::int32_t>::max())
    throw UserError(fmt::format("{} products in one batch are more than cuBLASLt takes; use smaller batches", batch.count));
  if (g.m == 0 || g.n == 0 || batch.count <= 0) return;
  if (g.k == 0) return multiply_empty(g, batch);

  Descriptors descriptors(g, batch);
  const cublasLtMatmulHeuristicResult_t chosen =
      algorithms_.get(key_of(g, batch), [&] { return descriptors.choose(handle_, g); });
  // Freed on return although the work is only queued: later users of the block are queued behind it on the same stream.
  std::optional<Storage> workspace;
  if (chosen.workspaceSize) workspace.emplace(pool_, chosen.workspaceSize, Tag::workspace);
  SWATH_CUDA_CALL(cublasLtMatmul(handle_, &descriptors.product, &g.alpha, g.b, &descriptors.first, g.a, &descriptors.second,
                                 &g.beta, g.c, &descriptors.result, g.c, &descriptors.result, &chosen.algo,
                                 workspace ? workspace->data() : nullptr, chosen.workspaceSize, context_->stream()));
  context_->after_call("matrix product");
}

// cuBLASLt refuses k = 0, whose result is beta · C + bias: the same as one term whose factors are zero.
void Products::multiply_empty(const Gemm& g, const GemmBatch& batch) {
  const std::size_t bytes = static_cast<std::size_t>(std::max(g.m, g.n)) * sizeof(float);
  const Storage zeros(pool_, bytes, Tag::workspace);
  SWATH_CUDA_CALL(cudaMemsetAsync(zeros.data(), 0, bytes, context_->stream()));
  Gemm one = g;
  one.k = 1;
  one.a = one.b = static_cast<const float*>(zeros.data());
  one.op_a = Gemm::Op::plain;
  one.op_b = Gemm::Op::plain;
  one.lda = 1;
  one.ldb = g.n;
  multiply(one, {.count = batch.count, .stride_a = 0, .stride_b = 0, .stride_c = batch.stride_c});
}

}  // namespace swath::cuda
