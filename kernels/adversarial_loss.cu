// Correlation with a regressor's prediction on CUDA: a warp a row, then one block that adds. methods.md §6.
#include "kernels/adversarial_loss.h"
#include "kernels/aligned.cuh"
#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"
#include "kernels/row_normalize.h"

namespace swath::kernels {
namespace {

constexpr int kBlock = 128;
constexpr int kWarps = kBlock / kWarp;

__device__ std::int64_t rows_in_use(const AdversarialLossArgs& args) {
  if (!args.row_count) return args.rows;
  const std::int64_t count = *args.row_count;
  return count < 0 ? 0 : (count < args.rows ? count : args.rows);
}

/// −weight / (rows in use × cols).
__device__ float mean_factor(const AdversarialLossArgs& args, std::int64_t used) {
  const std::int64_t count = used * args.cols;
  return count > 0 ? -args.weight / static_cast<float>(count) : 0.0f;
}

template <int kWidth>
__device__ void write(GradMode mode, float* d, Floats<kWidth> value) {
  if (mode == GradMode::accumulate) {
    const Floats<kWidth> before = load<kWidth>(d);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) value.value[e] += before.value[e];
  }
  store(d, value);
}

/// x / y with a last correction, from inverse = 1 / y: a division in the inner loop is a call, and spills registers.
__device__ float quotient(float x, float y, float inverse) {
  const float rough = x * inverse;
  return fmaf(fmaf(-rough, y, x), inverse, rough);
}

/// Σ p² and Σ (t p)² of a row.
struct RowSums {
  float squares = 0.0f, products = 0.0f;
};

template <int kWidth>
__device__ RowSums row_sums(const AdversarialLossArgs& args, const float* t, const float* p) {
  RowSums sums;
  for (std::int64_t k = threadIdx.x % kWarp * kWidth; k < args.cols; k += kWarp * kWidth) {
    const Floats<kWidth> a = load<kWidth>(t + k), b = load<kWidth>(p + k);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float product = a.value[e] * b.value[e];
      sums.squares += b.value[e] * b.value[e];
      sums.products += product * product;
    }
  }
  return {warp_reduce(sums.squares, SumOp{}), warp_reduce(sums.products, SumOp{})};
}

template <int kWidth>
__global__ void __launch_bounds__(kBlock) adversarial_rows_kernel(AdversarialLossArgs args) {
  const std::int64_t used = rows_in_use(args), stride = static_cast<std::int64_t>(gridDim.x) * kWarps;
  const float factor = 2.0f * mean_factor(args, used) * (args.loss_scale ? *args.loss_scale : 1.0f);
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < args.rows; i += stride) {
    const float* t = args.target + i * args.target_ld;
    const float* p = args.prediction + i * args.cols;
    float length = 1.0f, inverse = 1.0f, projected = 0.0f, own_factor = 0.0f;
    if (i < used) {
      const RowSums sums = row_sums<kWidth>(args, t, p);
      const float norm = sqrtf(sums.squares), term = sums.products / fmaxf(sums.squares, kRowNormFloor * kRowNormFloor);
      length = fmaxf(norm, kRowNormFloor);
      inverse = 1.0f / length;
      // Below the floor the norm is a constant, so nothing is projected out.
      projected = norm > kRowNormFloor ? term : 0.0f;
      own_factor = factor;
      if (threadIdx.x % kWarp == 0) static_cast<float*>(args.workspace)[i] = term;
    }
    for (std::int64_t k = threadIdx.x % kWarp * kWidth; k < args.cols; k += kWarp * kWidth) {
      Floats<kWidth> d_t = {}, d_p = {};
      if (i < used) {
        const Floats<kWidth> a = load<kWidth>(t + k), b = load<kWidth>(p + k);
#pragma unroll
        for (int e = 0; e < kWidth; ++e) {
          const float r = quotient(b.value[e], length, inverse);
          d_t.value[e] = own_factor * a.value[e] * r * r;
          d_p.value[e] = own_factor * inverse * (a.value[e] * a.value[e] * r - r * projected);
        }
      }
      if (args.d_target_mode != GradMode::skip)
        write<kWidth>(args.d_target_mode, args.d_target + i * args.d_target_ld + k, d_t);
      if (args.d_prediction_mode != GradMode::skip) {
        write<kWidth>(args.d_prediction_mode, args.d_prediction + i * args.cols + k, d_p);
      }
    }
  }
}

__global__ void __launch_bounds__(kBlock) adversarial_sum_kernel(AdversarialLossArgs args) {
  __shared__ float scratch[kWarp + 1];
  const std::int64_t used = rows_in_use(args);
  float sum = 0.0f;
  for (std::int64_t i = threadIdx.x; i < used; i += kBlock) sum += static_cast<const float*>(args.workspace)[i];
  sum = block_reduce(sum, SumOp{}, 0.0f, scratch);
  if (threadIdx.x == 0) *args.loss = mean_factor(args, used) * sum;
}

}  // namespace

void adversarial_loss(const AdversarialLossArgs& args, CudaStream exec) {
  if (args.rows > 0) {
    const bool wide = quads(args.cols, args.target, args.target_ld) && quads(args.cols, args.prediction, args.cols) &&
                      (args.d_target_mode == GradMode::skip || quads(args.cols, args.d_target, args.d_target_ld)) &&
                      (args.d_prediction_mode == GradMode::skip || quads(args.cols, args.d_prediction, args.cols));
    launch(wide ? adversarial_rows_kernel<4> : adversarial_rows_kernel<1>, grid_for(args.rows, kWarps), kBlock, 0, exec, args);
  }
  launch(adversarial_sum_kernel, 1, kBlock, 0, exec, args);
}

}  // namespace swath::kernels
