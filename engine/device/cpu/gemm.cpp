// Products of float32 matrices through OpenBLAS.
#include <cblas.h>

#include <algorithm>
#include <limits>

#include "engine/core/error.h"
#include "engine/device/cpu/cpu_backend.h"
#include "kernels/parallel.h"

namespace swath::cpu {

namespace {

blasint narrow(std::int64_t value) {
  if (value > std::numeric_limits<blasint>::max())
    throw UserError(fmt::format("a matrix extent of {} is more than BLAS takes; use smaller batches", value));
  return static_cast<blasint>(value);
}

CBLAS_TRANSPOSE op(Gemm::Op op) { return op == Gemm::Op::plain ? CblasNoTrans : CblasTrans; }

// beta = 0 must not read C: it may hold anything, NaN included.
void start_rows(const Gemm& g) {
  kernels::parallel_for(g.m, [&](std::int64_t i) {
    float* const row = g.c + i * g.ldc;
    for (std::int64_t j = 0; j < g.n; ++j) row[j] = (g.beta == 0 ? 0.0f : g.beta * row[j]) + (g.bias ? g.bias[j] : 0.0f);
  });
}

}  // namespace

void CpuBackend::gemm(const Gemm& g) {
  SWATH_CHECK(g.m >= 0 && g.n >= 0 && g.k >= 0 && g.ldc >= g.n, "{}x{}x{}, ldc {}", g.m, g.n, g.k, g.ldc);
  SWATH_CHECK(g.lda >= (g.op_a == Gemm::Op::plain ? g.k : g.m) && g.ldb >= (g.op_b == Gemm::Op::plain ? g.n : g.k),
              "lda {}, ldb {}", g.lda, g.ldb);
  if (g.m == 0 || g.n == 0) return;
  float beta = g.beta;
  if (g.bias || g.k == 0) {
    start_rows(g);
    beta = 1;
  }
  if (g.k == 0) return;
  const auto leading = [](std::int64_t value) { return narrow(std::max<std::int64_t>(1, value)); };
  cblas_sgemm(CblasRowMajor, op(g.op_a), op(g.op_b), narrow(g.m), narrow(g.n), narrow(g.k), g.alpha, g.a, leading(g.lda), g.b,
              leading(g.ldb), beta, g.c, leading(g.ldc));
}

void CpuBackend::gemm_strided_batched(const Gemm& first, std::int64_t count, std::int64_t stride_a, std::int64_t stride_b,
                                      std::int64_t stride_c) {
  Gemm one = first;
  for (std::int64_t i = 0; i < count; ++i) {
    gemm(one);
    one.a += stride_a;
    one.b += stride_b;
    one.c += stride_c;
  }
}

}  // namespace swath::cpu
