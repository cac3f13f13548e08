// Batch normalisation on CUDA (methods.md §2). Forward: partial sums per chunk of rows, shifted by the mean of the chunk's
// first rows; one small kernel merges them in order in double; one pass applies. Backward: partial sums, merge, d_x. No
// atomics: results are reproducible bit for bit.
#include <type_traits>

#include "kernels/batch_norm.h"
#include "kernels/batch_norm_plan.h"
#include "kernels/dispatch.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

using batch_norm_plan::cuda_plan;
using batch_norm_plan::CudaPlan;
using batch_norm_plan::kCudaThreads;

enum class Mask : std::uint8_t { none, output, recomputed };

__device__ __forceinline__ float normalise(float x, float mean, float scale, float beta) { return (x - mean) * scale + beta; }

/// The first channel of this thread's vector.
template <int V>
__device__ __forceinline__ std::int64_t channel_of_thread() {
  return (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * V;
}

/// Adds the sums of the block's row threads in order and writes rows 1 and 2 of partial[blockIdx.y] (3 × channels).
template <int V>
__device__ void store_partial(const float* sum, const float* square, std::int64_t channels, float* partial) {
  __shared__ float shared[2][kCudaThreads * V];
  const int at = static_cast<int>((threadIdx.y * blockDim.x + threadIdx.x) * V), width = static_cast<int>(blockDim.x) * V;
#pragma unroll
  for (int k = 0; k < V; ++k) {
    shared[0][at + k] = sum[k];
    shared[1][at + k] = square[k];
  }
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  for (int i = thread; i < 2 * width; i += kCudaThreads) {
    const int which = i / width, column = i % width;
    const std::int64_t channel = static_cast<std::int64_t>(blockIdx.x) * width + column;
    if (channel >= channels) continue;
    float total = 0;
    for (int r = 0; r < static_cast<int>(blockDim.y); ++r) total += shared[which][r * width + column];
    partial[(3 * static_cast<std::int64_t>(blockIdx.y) + 1 + which) * channels + channel] = total;
  }
}

template <int V, class T>
__global__ void __launch_bounds__(kCudaThreads)
    statistics_kernel(std::int64_t rows, std::int64_t channels, std::int64_t chunk_rows, const T* x, float* partial) {
  const std::int64_t channel = channel_of_thread<V>(), begin = blockIdx.y * chunk_rows;
  const std::int64_t end = begin + chunk_rows < rows ? begin + chunk_rows : rows;
  float sum[V] = {}, square[V] = {};
  if (channel < channels) {
    const std::int64_t first = end - begin < batch_norm_plan::kShiftRows ? end - begin : batch_norm_plan::kShiftRows;
    Vector<V> shift{};
    for (std::int64_t r = 0; r < first; ++r) {
      const Vector<V> v = load_vector<V>(x + (begin + r) * channels + channel);
#pragma unroll
      for (int k = 0; k < V; ++k) shift.v[k] += v.v[k] / static_cast<float>(first);
    }
    if (threadIdx.y == 0) {
#pragma unroll
      for (int k = 0; k < V; ++k) partial[3 * static_cast<std::int64_t>(blockIdx.y) * channels + channel + k] = shift.v[k];
    }
#pragma unroll 4
    for (std::int64_t r = begin + threadIdx.y; r < end; r += blockDim.y) {
      const Vector<V> v = load_vector<V>(x + r * channels + channel);
#pragma unroll
      for (int k = 0; k < V; ++k) {
        const float d = v.v[k] - shift.v[k];
        sum[k] += d;
        square[k] += d * d;
      }
    }
  }
  store_partial<V>(sum, square, channels, partial);
}

constexpr int kMergeColumns = 16, kMergeRows = 32;

/// Adds up over threadIdx.y in order; every thread of a column gets the result.
__device__ double sum_over_rows(double v, double (*shared)[kMergeColumns + 1]) {
  __syncthreads();
  shared[threadIdx.y][threadIdx.x] = v;
  __syncthreads();
  double total = 0;
  for (int r = 0; r < kMergeRows; ++r) total += shared[r][threadIdx.x];
  return total;
}

__global__ void __launch_bounds__(kMergeColumns* kMergeRows)
    finish_statistics_kernel(BatchNormTrainingArgs p, std::int64_t chunk_rows, std::int64_t chunks, const float* partial) {
  __shared__ double shared[kMergeRows][kMergeColumns + 1];
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kMergeColumns + threadIdx.x;
  const double n = static_cast<double>(p.rows), momentum = p.momentum;
  const auto count = [&](std::int64_t k) {
    const std::int64_t left = p.rows - k * chunk_rows;
    return static_cast<double>(left < chunk_rows ? left : chunk_rows);
  };
  double mean = 0, deviation = 0;
  if (c < p.channels)
    for (std::int64_t k = threadIdx.y; k < chunks; k += kMergeRows)
      mean += count(k) * partial[3 * k * p.channels + c] + partial[(3 * k + 1) * p.channels + c];
  mean = sum_over_rows(mean, shared) / n;
  if (c < p.channels)
    for (std::int64_t k = threadIdx.y; k < chunks; k += kMergeRows) {
      const double offset = partial[3 * k * p.channels + c] - mean;
      const double sum = partial[(3 * k + 1) * p.channels + c], square = partial[(3 * k + 2) * p.channels + c];
      deviation += square + offset * (2 * sum + count(k) * offset);
    }
  deviation = sum_over_rows(deviation, shared);
  if (c >= p.channels || threadIdx.y != 0) return;
  deviation = deviation < 0 ? 0 : deviation;
  p.saved_mean[c] = static_cast<float>(mean);
  p.saved_invstd[c] = static_cast<float>(1 / sqrt(deviation / n + p.eps));
  if (p.running_mean) p.running_mean[c] = static_cast<float>((1 - momentum) * p.running_mean[c] + momentum * mean);
  if (p.running_var)
    p.running_var[c] = static_cast<float>((1 - momentum) * p.running_var[c] + momentum * (deviation / (n > 2 ? n - 1 : 1)));
}

/// What both forward forms share. `spread` is 1/σ, or σ² (inference).
struct Apply {
  std::int64_t rows, channels;
  const void *x, *residual;
  void* y;
  const float *gamma, *beta, *mean, *spread;
  float eps;
};

template <int V, class T, bool kInference, bool kResidual, bool kRelu>
__global__ void __launch_bounds__(kCudaThreads) apply_kernel(Apply p) {
  const std::int64_t channel = channel_of_thread<V>();
  if (channel >= p.channels) return;
  const Vector<V> mean = load_vector<V>(p.mean + channel), beta = load_vector<V>(p.beta + channel);
  const Vector<V> gamma = load_vector<V>(p.gamma + channel), spread = load_vector<V>(p.spread + channel);
  float scale[V];
#pragma unroll
  for (int k = 0; k < V; ++k) scale[k] = kInference ? gamma.v[k] / sqrtf(spread.v[k] + p.eps) : gamma.v[k] * spread.v[k];
  const T *x = static_cast<const T*>(p.x), *residual = static_cast<const T*>(p.residual);
  T* y = static_cast<T*>(p.y);
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.y) * blockDim.y;
  for (std::int64_t r = static_cast<std::int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; r < p.rows; r += stride) {
    const std::int64_t at = r * p.channels + channel;
    Vector<V> v = load_vector<V>(x + at);
    Vector<V> extra{};
    if constexpr (kResidual) extra = load_vector<V>(residual + at);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      v.v[k] = normalise(v.v[k], mean.v[k], scale[k], beta.v[k]);
      if constexpr (kResidual) v.v[k] += extra.v[k];
      if constexpr (kRelu) v.v[k] = v.v[k] < 0 ? 0.0f : v.v[k];
    }
    store_vector<V>(y + at, v);
  }
}

/// The coefficients of d_x, three rows of channels in the workspace.
struct Coefficients {
  float *slope, *linear, *constant;
};

/// The incoming gradient of one vector after the ReLU mask; also reads x.
template <int V, class T, Mask kMask>
struct MaskedGradient {
  float scale[V], beta[V], mean[V];

  __device__ MaskedGradient(const BatchNormBackwardArgs& p, std::int64_t channel) {
    const Vector<V> m = load_vector<V>(p.saved_mean + channel);
    Vector<V> g{}, s{}, b{};
    if constexpr (kMask == Mask::recomputed) {
      g = load_vector<V>(p.gamma + channel);
      s = load_vector<V>(p.saved_invstd + channel);
      b = load_vector<V>(p.beta + channel);
    }
#pragma unroll
    for (int k = 0; k < V; ++k) {
      mean[k] = m.v[k];
      scale[k] = g.v[k] * s.v[k];
      beta[k] = b.v[k];
    }
  }

  __device__ void read(const BatchNormBackwardArgs& p, const void* gradient, std::int64_t at, Vector<V>& g,
                       Vector<V>& x) const {
    g = load_vector<V>(static_cast<const T*>(gradient) + at);
    x = load_vector<V>(static_cast<const T*>(p.x) + at);
    Vector<V> y{};
    if constexpr (kMask == Mask::output) y = load_vector<V>(static_cast<const T*>(p.y) + at);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      if constexpr (kMask == Mask::output) g.v[k] = y.v[k] > 0 ? g.v[k] : 0.0f;
      if constexpr (kMask == Mask::recomputed) g.v[k] = normalise(x.v[k], mean[k], scale[k], beta[k]) > 0 ? g.v[k] : 0.0f;
    }
  }
};

template <int V, class T, Mask kMask, bool kStore>
__global__ void __launch_bounds__(kCudaThreads)
    backward_sums_kernel(BatchNormBackwardArgs p, std::int64_t chunk_rows, float* partial) {
  const std::int64_t channel = channel_of_thread<V>(), begin = blockIdx.y * chunk_rows;
  const std::int64_t end = begin + chunk_rows < p.rows ? begin + chunk_rows : p.rows;
  float sum[V] = {}, product[V] = {};
  if (channel < p.channels) {
    const MaskedGradient<V, T, kMask> masked(p, channel);
#pragma unroll 2
    for (std::int64_t r = begin + threadIdx.y; r < end; r += blockDim.y) {
      const std::int64_t at = r * p.channels + channel;
      Vector<V> g, x;
      masked.read(p, p.d_y, at, g, x);
      if constexpr (kStore) store_vector<V>(static_cast<T*>(p.d_residual) + at, g);
#pragma unroll
      for (int k = 0; k < V; ++k) {
        sum[k] += g.v[k];
        product[k] += g.v[k] * (x.v[k] - masked.mean[k]);
      }
    }
  }
  store_partial<V>(sum, product, p.channels, partial);
}

__global__ void __launch_bounds__(kMergeColumns* kMergeRows)
    finish_backward_kernel(BatchNormBackwardArgs p, std::int64_t chunks, const float* partial, Coefficients out) {
  __shared__ double shared[kMergeRows][kMergeColumns + 1];
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kMergeColumns + threadIdx.x;
  double sum = 0, product = 0;
  if (c < p.channels)
    for (std::int64_t k = threadIdx.y; k < chunks; k += kMergeRows) {
      sum += partial[(3 * k + 1) * p.channels + c];
      product += partial[(3 * k + 2) * p.channels + c];
    }
  sum = sum_over_rows(sum, shared);
  product = sum_over_rows(product, shared);
  if (c >= p.channels || threadIdx.y != 0) return;
  const double invstd = p.saved_invstd[c], n = p.rows > 0 ? static_cast<double>(p.rows) : 1.0;
  out.slope[c] = p.gamma[c] * p.saved_invstd[c];
  out.linear[c] = static_cast<float>(product * invstd * invstd / n);
  out.constant[c] = static_cast<float>(sum / n);
  if (p.parameter_mode == GradMode::skip) return;
  const bool add = p.parameter_mode == GradMode::accumulate;
  p.d_gamma[c] = (add ? p.d_gamma[c] : 0.0f) + static_cast<float>(product * invstd);
  p.d_beta[c] = (add ? p.d_beta[c] : 0.0f) + static_cast<float>(sum);
}

template <int V, class T, Mask kMask>
__global__ void __launch_bounds__(kCudaThreads)
    backward_input_kernel(BatchNormBackwardArgs p, const void* gradient, Coefficients in) {
  const std::int64_t channel = channel_of_thread<V>();
  if (channel >= p.channels) return;
  const MaskedGradient<V, T, kMask> masked(p, channel);
  const Vector<V> slope = load_vector<V>(in.slope + channel), linear = load_vector<V>(in.linear + channel);
  const Vector<V> constant = load_vector<V>(in.constant + channel);
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.y) * blockDim.y;
  for (std::int64_t r = static_cast<std::int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; r < p.rows; r += stride) {
    const std::int64_t at = r * p.channels + channel;
    Vector<V> g, x;
    masked.read(p, gradient, at, g, x);
#pragma unroll
    for (int k = 0; k < V; ++k) g.v[k] = slope.v[k] * ((g.v[k] - constant.v[k]) - (x.v[k] - masked.mean[k]) * linear.v[k]);
    store_vector<V>(static_cast<T*>(p.d_x) + at, g);
  }
}

dim3 block_of(const CudaPlan& plan) {
  return {static_cast<unsigned>(plan.lanes), static_cast<unsigned>(kCudaThreads / plan.lanes)};
}
dim3 chunk_grid(const CudaPlan& plan) { return {static_cast<unsigned>(plan.groups), static_cast<unsigned>(plan.chunks)}; }
/// A pass without sums: a few rows for each thread.
dim3 row_grid(const CudaPlan& plan, std::int64_t rows) {
  const std::int64_t blocks = ceil_div(rows, kCudaThreads / plan.lanes * 4);
  return {static_cast<unsigned>(plan.groups), static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, 65535))};
}
dim3 merge_grid(std::int64_t channels) { return static_cast<unsigned>(ceil_div(channels, kMergeColumns)); }

template <class T, class Body>
void with_vector(std::int64_t channels, bool aligned, const Body& body) {
  if (aligned && channels % kVector<T> == 0) return body(std::integral_constant<int, kVector<T>>{});
  body(std::integral_constant<int, 1>{});
}

template <class T, bool kInference>
void apply(const Apply& p, Activation activation, CudaStream exec) {
  if (p.rows == 0 || p.channels == 0) return;
  const bool relu = activation == Activation::relu;
  with_vector<T>(p.channels, aligned16({p.x, p.residual, p.y, p.gamma, p.beta, p.mean, p.spread}), [&](auto v) {
    constexpr int V = v.value;
    const CudaPlan plan = cuda_plan(p.rows, p.channels, V);
    auto kernel = relu ? apply_kernel<V, T, kInference, false, true> : apply_kernel<V, T, kInference, false, false>;
    if (p.residual) kernel = relu ? apply_kernel<V, T, kInference, true, true> : apply_kernel<V, T, kInference, true, false>;
    launch(kernel, row_grid(plan, p.rows), block_of(plan), 0, exec, p);
  });
}

template <int V, class T, Mask kMask>
void backward(const BatchNormBackwardArgs& p, CudaStream exec) {
  float* workspace = static_cast<float*>(p.workspace);
  const Coefficients coefficients{workspace, workspace + p.channels, workspace + 2 * p.channels};
  float* partial = workspace + 3 * p.channels;
  const CudaPlan plan = cuda_plan(p.rows, p.channels, V);
  if (p.rows > 0) {
    const bool store = p.d_residual && (kMask != Mask::none || p.d_residual != p.d_y);
    launch(store ? backward_sums_kernel<V, T, kMask, true> : backward_sums_kernel<V, T, kMask, false>, chunk_grid(plan),
           block_of(plan), 0, exec, p, plan.chunk_rows, partial);
  }
  launch(finish_backward_kernel, merge_grid(p.channels), dim3(kMergeColumns, kMergeRows), 0, exec, p, plan.chunks, partial,
         coefficients);
  if (!p.d_x || p.rows == 0) return;
  if (p.d_residual)
    return launch(backward_input_kernel<V, T, Mask::none>, row_grid(plan, p.rows), block_of(plan), 0, exec, p,
                  static_cast<const void*>(p.d_residual), coefficients);
  launch(backward_input_kernel<V, T, kMask>, row_grid(plan, p.rows), block_of(plan), 0, exec, p, p.d_y, coefficients);
}

__global__ void clear_kernel(std::int64_t n, float* a, float* b) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) a[i] = b[i] = 0;
}

}  // namespace

void batch_norm_training(const BatchNormTrainingArgs& p, CudaStream exec) {
  if (p.channels == 0) return;
  if (p.rows == 0)
    return launch(clear_kernel, static_cast<unsigned>(ceil_div(p.channels, 256)), 256, 0, exec, p.channels, p.saved_mean,
                  p.saved_invstd);
  float* partial = static_cast<float*>(p.workspace);
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    with_vector<T>(p.channels, aligned16({p.x}), [&](auto v) {
      const CudaPlan plan = cuda_plan(p.rows, p.channels, v.value);
      launch(statistics_kernel<v.value, T>, chunk_grid(plan), block_of(plan), 0, exec, p.rows, p.channels, plan.chunk_rows,
             typed<T>(p.x), partial);
      launch(finish_statistics_kernel, merge_grid(p.channels), dim3(kMergeColumns, kMergeRows), 0, exec, p, plan.chunk_rows,
             plan.chunks, partial);
    });
    apply<T, false>({p.rows, p.channels, p.x, p.residual, p.y, p.gamma, p.beta, p.saved_mean, p.saved_invstd, p.eps},
                    p.activation, exec);
  });
}

void batch_norm_inference(const BatchNormInferenceArgs& p, CudaStream exec) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    apply<T, true>({p.rows, p.channels, p.x, p.residual, p.y, p.gamma, p.beta, p.running_mean, p.running_var, p.eps},
                   p.activation, exec);
  });
}

void batch_norm_backward(const BatchNormBackwardArgs& p, CudaStream exec) {
  if (p.channels == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const bool aligned =
        aligned16({p.d_y, p.x, p.y, p.d_x, p.d_residual, p.gamma, p.beta, p.saved_mean, p.saved_invstd, p.workspace});
    with_vector<T>(p.channels, aligned, [&](auto v) {
      constexpr int V = v.value;
      if (p.activation == Activation::none) return backward<V, T, Mask::none>(p, exec);
      if (p.y) return backward<V, T, Mask::output>(p, exec);
      backward<V, T, Mask::recomputed>(p, exec);
    });
  });
}

}  // namespace swath::kernels
