// Weight-norm regularisers on CUDA: a warp a row (a bias is one more row), then one block that adds. methods.md §7 "BIER".
#include "kernels/aligned.cuh"
#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"
#include "kernels/weight_norm_loss.h"

namespace swath::kernels {
namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / kWarp;

/// A row of a layer's weight, or its bias, and what becomes of it.
struct Task {
  const float* x;
  float* d_x;
  std::int64_t n;
  float factor;  // of the term
  GradMode mode;
  bool is_bias;
};

__device__ Task find_task(const WeightNormLossArgs& args, std::int64_t index) {
  int l = 0;
  while (index > args.layers[l].rows) index -= args.layers[l++].rows + 1;
  const WeightNormLayer& layer = args.layers[l];
  if (index < layer.rows) {
    const float factor = layer.factor / static_cast<float>(layer.rows);
    return {
        layer.weight + index * layer.cols, layer.d_weight + index * layer.cols, layer.cols, factor, layer.d_weight_mode, false};
  }
  return {layer.bias, layer.d_bias, layer.bias ? layer.rows : 0, layer.factor, layer.d_bias_mode, true};
}

__device__ bool in_quads(const Task& task) {
  return task.n % 4 == 0 && (reinterpret_cast<std::uintptr_t>(task.x) | reinterpret_cast<std::uintptr_t>(task.d_x)) % 16 == 0;
}

template <int kWidth>
__device__ float square_sum(const Task& task) {
  float sum = 0.0f;
  for (std::int64_t k = threadIdx.x % kWarp * kWidth; k < task.n; k += kWarp * kWidth) {
    const Floats<kWidth> v = load<kWidth>(task.x + k);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) sum += v.value[e] * v.value[e];
  }
  return warp_reduce(sum, SumOp{});
}

template <int kWidth>
__device__ void write_gradient(const Task& task, float factor) {
  for (std::int64_t k = threadIdx.x % kWarp * kWidth; k < task.n; k += kWarp * kWidth) {
    const Floats<kWidth> v = load<kWidth>(task.x + k);
    Floats<kWidth> d = {};
    if (task.mode == GradMode::accumulate) d = load<kWidth>(task.d_x + k);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) d.value[e] += factor * v.value[e];
    store(task.d_x + k, d);
  }
}

__global__ void __launch_bounds__(kBlock)
    weight_norm_rows_kernel(const __grid_constant__ WeightNormLossArgs args, std::int64_t tasks) {
  const float scale = args.loss_scale ? *args.loss_scale : 1.0f;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kWarps;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < tasks; i += stride) {
    const Task task = find_task(args, i);
    const bool wide = in_quads(task);
    const float excess = (wide ? square_sum<4>(task) : square_sum<1>(task)) - 1.0f;
    const bool counts = task.n > 0 && (!task.is_bias || excess > 0.0f);
    const float term = task.is_bias ? excess : excess * excess, slope = task.is_bias ? 2.0f : 4.0f * excess;
    if (threadIdx.x % kWarp == 0) static_cast<float*>(args.workspace)[i] = counts ? task.factor * term : 0.0f;
    if (task.mode == GradMode::skip) continue;
    const float factor = counts ? scale * task.factor * slope : 0.0f;
    wide ? write_gradient<4>(task, factor) : write_gradient<1>(task, factor);
  }
}

__global__ void __launch_bounds__(kBlock) weight_norm_sum_kernel(const float* terms, std::int64_t tasks, float* loss) {
  __shared__ float scratch[kWarp + 1];
  float sum = 0.0f;
  for (std::int64_t i = threadIdx.x; i < tasks; i += kBlock) sum += terms[i];
  sum = block_reduce(sum, SumOp{}, 0.0f, scratch);
  if (threadIdx.x == 0) *loss = sum;
}

}  // namespace

void weight_norm_loss(const WeightNormLossArgs& args, CudaStream exec) {
  const auto tasks = static_cast<std::int64_t>(weight_norm_loss_workspace(args) / sizeof(float));
  if (tasks > 0) launch(weight_norm_rows_kernel, grid_for(tasks, kWarps), kBlock, 0, exec, args, tasks);
  if (args.loss)
    launch(weight_norm_sum_kernel, 1, kBlock, 0, exec, static_cast<const float*>(args.workspace), tasks, args.loss);
}

}  // namespace swath::kernels
