// Batch normalisation on the CPU (methods.md §2). Statistics are sums over chunks of rows, shifted by the mean
// of the chunk's first rows: these are among the summed values, so (shift − mean)² ≤ rows · variance / 4, and cancellation
// stays small whatever the mean. Chunks are merged in order in double. The second pass runs backwards, where the cache still
// holds the first pass's end.
#include "kernels/batch_norm.h"

#include <cmath>
#include <type_traits>

#include "kernels/batch_norm_plan.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

enum class Mask : std::uint8_t { none, output, recomputed };
constexpr std::int64_t kRows = 4;      // rows per inner loop of for_rows: per-channel values are loaded once for all of them
constexpr std::int64_t kColumns = 64;  // channels per task of the per-channel steps

float normalise(float x, float mean, float scale, float beta) { return (x - mean) * scale + beta; }

/// Whether to take kRows rows at a time. Not where wide rows come from main memory: four streams at once defeat its prefetch
/// (measured: half the bandwidth at 256 channels).
template <class T>
bool grouped(std::int64_t rows, std::int64_t channels) {
  return channels < 128 || rows * channels * static_cast<std::int64_t>(sizeof(T)) < (16 << 20);
}

/// Calls step(count, r) for groups of kRows rows from `first` on and for the rows left over; `count` is a compile-time
/// constant.
template <class Step>
void for_rows(bool in_groups, std::int64_t first, std::int64_t rows, const Step& step) {
  std::int64_t r = first;
  if (in_groups)
    for (; r + kRows <= rows; r += kRows) step(std::integral_constant<int, kRows>{}, r);
  for (; r < rows; ++r) step(std::integral_constant<int, 1>{}, r);
}

template <int kCount, class T>
void shifted_sums_step(const T* x, std::int64_t channels, const float* shift, float* sum, float* square) {
#pragma omp simd
  for (std::int64_t c = 0; c < channels; ++c) {
    float s = 0, q = 0;
#pragma GCC unroll 4
    for (int k = 0; k < kCount; ++k) {
      const float d = to_float(x[k * channels + c]) - shift[c];
      s += d;
      q += d * d;
    }
    sum[c] += s;
    square[c] += q;
  }
}

/// partial: shift, Σ (x − shift), Σ (x − shift)², each of `channels`.
template <class T>
void shifted_sums(bool in_groups, const T* x, std::int64_t rows, std::int64_t channels, float* partial) {
  std::fill(partial, partial + 3 * channels, 0.0f);
  float *shift = partial, *sum = partial + channels, *square = partial + 2 * channels;
  const std::int64_t first = std::min(rows, batch_norm_plan::kShiftRows);
  const float share = 1.0f / static_cast<float>(first);
  for (std::int64_t r = 0; r < first; ++r) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) shift[c] += to_float(x[r * channels + c]) * share;
  }
  for_rows(in_groups, 0, rows,
           [&](auto count, std::int64_t r) { shifted_sums_step<count.value>(x + r * channels, channels, shift, sum, square); });
}

struct ChannelBlock {
  std::int64_t begin, size;
};

template <class Body>
void for_channel_blocks(std::int64_t channels, const Body& body) {
  parallel_chunks(channels, kColumns, [&](std::int64_t begin, std::int64_t end) { body(ChannelBlock{begin, end - begin}); });
}

/// Merges the chunks of some channels: mean and Σ (x − mean)².
void merge(const BatchNormTrainingArgs& p, const float* partial, ChannelBlock block, double* mean, double* deviation) {
  const std::int64_t step = batch_norm_plan::cpu_chunk_rows(p.channels);
  const std::int64_t chunks = batch_norm_plan::cpu_chunks(p.rows, p.channels);
  for (std::int64_t i = 0; i < block.size; ++i) mean[i] = deviation[i] = 0;
  for (std::int64_t k = 0; k < chunks; ++k) {
    const double count = static_cast<double>(std::min(step, p.rows - k * step));
    const float* shift = partial + 3 * k * p.channels + block.begin;
    const float* sum = shift + p.channels;
#pragma omp simd
    for (std::int64_t i = 0; i < block.size; ++i)
      mean[i] += count * static_cast<double>(shift[i]) + static_cast<double>(sum[i]);
  }
  for (std::int64_t i = 0; i < block.size; ++i) mean[i] /= static_cast<double>(p.rows);
  for (std::int64_t k = 0; k < chunks; ++k) {
    const double count = static_cast<double>(std::min(step, p.rows - k * step));
    const float* shift = partial + 3 * k * p.channels + block.begin;
    const float* sum = shift + p.channels;
    const float* square = sum + p.channels;
#pragma omp simd
    for (std::int64_t i = 0; i < block.size; ++i) {
      // Σ (x − mean)² with x − mean = (x − shift) + (shift − mean).
      const double offset = static_cast<double>(shift[i]) - mean[i];
      deviation[i] += static_cast<double>(square[i]) + offset * (2 * static_cast<double>(sum[i]) + count * offset);
    }
  }
}

template <class T>
void statistics(const BatchNormTrainingArgs& p) {
  float* partial = static_cast<float*>(p.workspace);
  const std::int64_t step = batch_norm_plan::cpu_chunk_rows(p.channels);
  const bool in_groups = grouped<T>(p.rows, p.channels);
  parallel_for(batch_norm_plan::cpu_chunks(p.rows, p.channels), [&](std::int64_t k) {
    const std::int64_t begin = k * step;
    shifted_sums(in_groups, typed<T>(p.x) + begin * p.channels, std::min(step, p.rows - begin), p.channels,
                 partial + 3 * k * p.channels);
  });
  const double n = static_cast<double>(p.rows), momentum = static_cast<double>(p.momentum);
  for_channel_blocks(p.channels, [&](ChannelBlock block) {
    double mean[kColumns], deviation[kColumns];
    merge(p, partial, block, mean, deviation);
    for (std::int64_t i = 0; i < block.size; ++i) {
      const std::int64_t c = block.begin + i;
      const double sum = std::fmax(deviation[i], 0.0) + 0 * deviation[i];  // a NaN stays NaN
      p.saved_mean[c] = static_cast<float>(mean[i]);
      p.saved_invstd[c] = static_cast<float>(1 / std::sqrt(sum / n + static_cast<double>(p.eps)));
      const auto update = [&](float& running, double batch) {
        running = static_cast<float>((1 - momentum) * static_cast<double>(running) + momentum * batch);
      };
      if (p.running_mean) update(p.running_mean[c], mean[i]);
      if (p.running_var) update(p.running_var[c], sum / std::fmax(n - 1, 1));
    }
  });
}

/// What both forward forms share. `spread` is 1/σ, or σ² whose root the loop takes (inference).
struct Apply {
  std::int64_t rows, channels;
  const float *gamma, *beta, *mean, *spread;
  float eps;
};

template <int kCount, class T, bool kInference, bool kResidual, bool kRelu>
void apply_step(const Apply& p, const T* x, const T* residual, T* y) {
  const std::int64_t channels = p.channels;
  const float *means = p.mean, *spreads = p.spread, *gammas = p.gamma, *betas = p.beta;
  const float eps = p.eps;
#pragma omp simd
  for (std::int64_t c = 0; c < channels; ++c) {
    const float mean = means[c], beta = betas[c];
    const float scale = kInference ? gammas[c] / std::sqrt(spreads[c] + eps) : gammas[c] * spreads[c];
#pragma GCC unroll 4
    for (int k = 0; k < kCount; ++k) {
      float v = normalise(to_float(x[k * channels + c]), mean, scale, beta);
      if constexpr (kResidual) v += to_float(residual[k * channels + c]);
      if constexpr (kRelu) v = v < 0 ? 0.0f : v;
      y[k * channels + c] = from_float<T>(v);
    }
  }
}

template <class T, bool kInference, bool kResidual, bool kRelu>
void apply_all(const Apply& p, const void* x, const void* residual, void* y) {
  const std::int64_t step = batch_norm_plan::cpu_chunk_rows(p.channels);
  const std::int64_t chunks = batch_norm_plan::cpu_chunks(p.rows, p.channels);
  const bool in_groups = grouped<T>(p.rows, p.channels);
  parallel_for(chunks, [&](std::int64_t i) {
    const std::int64_t begin = (chunks - 1 - i) * step, at = begin * p.channels;
    for_rows(in_groups, 0, std::min(step, p.rows - begin), [&](auto count, std::int64_t r) {
      const std::int64_t row = at + r * p.channels;
      apply_step<count.value, T, kInference, kResidual, kRelu>(
          p, typed<T>(x) + row, kResidual ? typed<T>(residual) + row : nullptr, typed<T>(y) + row);
    });
  });
}

template <class T, bool kInference>
void apply(const Apply& p, const void* x, const void* residual, void* y, Activation activation) {
  const bool relu = activation == Activation::relu;
  if (residual)
    return relu ? apply_all<T, kInference, true, true>(p, x, residual, y)
                : apply_all<T, kInference, true, false>(p, x, residual, y);
  return relu ? apply_all<T, kInference, false, true>(p, x, residual, y)
              : apply_all<T, kInference, false, false>(p, x, residual, y);
}

/// Per-channel inputs of the backward passes. `slope`, `linear` and `constant` are written between the two.
struct Backward {
  std::int64_t channels;
  const float *gamma, *beta, *mean, *invstd;
  float *slope, *linear, *constant;
};

template <Mask kMask>
float masked(float g, float x, float y, float mean, float scale, float beta) {
  if constexpr (kMask == Mask::output) return y > 0 ? g : 0.0f;
  if constexpr (kMask == Mask::recomputed) return normalise(x, mean, scale, beta) > 0 ? g : 0.0f;
  return g;
}

template <int kCount, class T, Mask kMask, bool kStore>
void reduce_step(const Backward& p, const T* d_y, const T* x, const T* y, T* d_residual, float* sum, float* product) {
  const std::int64_t channels = p.channels;
  const float *means = p.mean, *invstds = p.invstd, *gammas = p.gamma, *betas = p.beta;
#pragma omp simd
  for (std::int64_t c = 0; c < channels; ++c) {
    const float mean = means[c];
    const float scale = kMask == Mask::recomputed ? gammas[c] * invstds[c] : 0.0f;
    const float beta = kMask == Mask::recomputed ? betas[c] : 0.0f;
    float s = 0, q = 0;
#pragma GCC unroll 4
    for (int k = 0; k < kCount; ++k) {
      const float v = to_float(x[k * channels + c]);
      const float out = kMask == Mask::output ? to_float(y[k * channels + c]) : 0.0f;
      const float g = masked<kMask>(to_float(d_y[k * channels + c]), v, out, mean, scale, beta);
      s += g;
      q += g * (v - mean);
      if constexpr (kStore) d_residual[k * channels + c] = from_float<T>(g);
    }
    sum[c] += s;
    product[c] += q;
  }
}

template <int kCount, class T, Mask kMask>
void input_step(const Backward& p, const T* d_y, const T* x, const T* y, T* d_x) {
  const std::int64_t channels = p.channels;
  const float *means = p.mean, *invstds = p.invstd, *gammas = p.gamma, *betas = p.beta;
  const float *slopes = p.slope, *linears = p.linear, *constants = p.constant;
#pragma omp simd
  for (std::int64_t c = 0; c < channels; ++c) {
    const float mean = means[c], slope = slopes[c], linear = linears[c], constant = constants[c];
    const float scale = kMask == Mask::recomputed ? gammas[c] * invstds[c] : 0.0f;
    const float beta = kMask == Mask::recomputed ? betas[c] : 0.0f;
#pragma GCC unroll 4
    for (int k = 0; k < kCount; ++k) {
      const float v = to_float(x[k * channels + c]);
      const float out = kMask == Mask::output ? to_float(y[k * channels + c]) : 0.0f;
      const float g = masked<kMask>(to_float(d_y[k * channels + c]), v, out, mean, scale, beta);
      d_x[k * channels + c] = from_float<T>(slope * ((g - constant) - (v - mean) * linear));
    }
  }
}

/// Adds up the chunks and writes d_gamma, d_beta and the coefficients of
/// d_x = γ/σ · (g − mean(g) − (x − μ)/σ² · mean(g (x − μ))).
void parameter_gradients(const BatchNormBackwardArgs& a, const Backward& p, const float* partial) {
  const std::int64_t chunks = batch_norm_plan::cpu_chunks(a.rows, a.channels);
  for_channel_blocks(a.channels, [&](ChannelBlock block) {
    double sum[kColumns] = {}, product[kColumns] = {};
    for (std::int64_t k = 0; k < chunks; ++k) {
      const float* s = partial + 2 * k * a.channels + block.begin;
      for (std::int64_t i = 0; i < block.size; ++i) {
        sum[i] += static_cast<double>(s[i]);
        product[i] += static_cast<double>(s[a.channels + i]);
      }
    }
    for (std::int64_t i = 0; i < block.size; ++i) {
      const std::int64_t c = block.begin + i;
      const double invstd = static_cast<double>(a.saved_invstd[c]);
      const double n = static_cast<double>(std::max<std::int64_t>(a.rows, 1));
      p.slope[c] = a.gamma[c] * a.saved_invstd[c];
      p.linear[c] = static_cast<float>(product[i] * invstd * invstd / n);
      p.constant[c] = static_cast<float>(sum[i] / n);
      if (a.parameter_mode == GradMode::skip) continue;
      const bool add = a.parameter_mode == GradMode::accumulate;
      a.d_gamma[c] = (add ? a.d_gamma[c] : 0.0f) + static_cast<float>(product[i] * invstd);
      a.d_beta[c] = (add ? a.d_beta[c] : 0.0f) + static_cast<float>(sum[i]);
    }
  });
}

template <class T, Mask kMask, bool kStore>
void reduce_all(const BatchNormBackwardArgs& a, const Backward& p, float* partial) {
  const std::int64_t step = batch_norm_plan::cpu_chunk_rows(a.channels);
  const bool in_groups = grouped<T>(a.rows, a.channels);
  parallel_for(batch_norm_plan::cpu_chunks(a.rows, a.channels), [&](std::int64_t k) {
    const std::int64_t begin = k * step, at = begin * a.channels;
    float* sum = partial + 2 * k * a.channels;
    std::fill(sum, sum + 2 * a.channels, 0.0f);
    for_rows(in_groups, 0, std::min(step, a.rows - begin), [&](auto count, std::int64_t r) {
      const std::int64_t row = at + r * a.channels;
      reduce_step<count.value, T, kMask, kStore>(p, typed<T>(a.d_y) + row, typed<T>(a.x) + row,
                                                 kMask == Mask::output ? typed<T>(a.y) + row : nullptr,
                                                 kStore ? typed<T>(a.d_residual) + row : nullptr, sum, sum + a.channels);
    });
  });
}

template <class T, Mask kMask>
void input_all(const BatchNormBackwardArgs& a, const Backward& p, const void* gradient) {
  const std::int64_t step = batch_norm_plan::cpu_chunk_rows(a.channels);
  const std::int64_t chunks = batch_norm_plan::cpu_chunks(a.rows, a.channels);
  const bool in_groups = grouped<T>(a.rows, a.channels);
  parallel_for(chunks, [&](std::int64_t i) {
    const std::int64_t begin = (chunks - 1 - i) * step, at = begin * a.channels;
    for_rows(in_groups, 0, std::min(step, a.rows - begin), [&](auto count, std::int64_t r) {
      const std::int64_t row = at + r * a.channels;
      input_step<count.value, T, kMask>(p, typed<T>(gradient) + row, typed<T>(a.x) + row,
                                        kMask == Mask::output ? typed<T>(a.y) + row : nullptr, typed<T>(a.d_x) + row);
    });
  });
}

template <class T, Mask kMask>
void backward(const BatchNormBackwardArgs& a) {
  float* coefficients = static_cast<float*>(a.workspace);
  float* partial = coefficients + 3 * a.channels;
  const Backward p{a.channels,
                   a.gamma,
                   a.beta,
                   a.saved_mean,
                   a.saved_invstd,
                   coefficients,
                   coefficients + a.channels,
                   coefficients + 2 * a.channels};
  const bool store = a.d_residual && (kMask != Mask::none || a.d_residual != a.d_y);
  if (store) {
    reduce_all<T, kMask, true>(a, p, partial);
  } else {
    reduce_all<T, kMask, false>(a, p, partial);
  }
  parameter_gradients(a, p, partial);
  if (!a.d_x) return;
  if (a.d_residual) return input_all<T, Mask::none>(a, p, a.d_residual);
  input_all<T, kMask>(a, p, a.d_y);
}

}  // namespace

void batch_norm_training(const BatchNormTrainingArgs& p, Cpu) {
  if (p.rows == 0 || p.channels == 0) {
    for (std::int64_t c = 0; c < p.channels; ++c) p.saved_mean[c] = p.saved_invstd[c] = 0;
    return;
  }
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    statistics<T>(p);
    apply<T, false>({p.rows, p.channels, p.gamma, p.beta, p.saved_mean, p.saved_invstd, p.eps}, p.x, p.residual, p.y,
                    p.activation);
  });
}

void batch_norm_inference(const BatchNormInferenceArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    apply<T, true>({p.rows, p.channels, p.gamma, p.beta, p.running_mean, p.running_var, p.eps}, p.x, p.residual, p.y,
                   p.activation);
  });
}

void batch_norm_backward(const BatchNormBackwardArgs& a, Cpu) {
  with_element(a.dtype, [&](auto element) {
    using T = decltype(element);
    if (a.activation == Activation::none) return backward<T, Mask::none>(a);
    if (a.y) return backward<T, Mask::output>(a);
    return backward<T, Mask::recomputed>(a);
  });
}

std::size_t batch_norm_training_workspace(const BatchNormTrainingArgs& p) {
  return batch_norm_plan::workspace(p.rows, p.channels);
}
std::size_t batch_norm_backward_workspace(const BatchNormBackwardArgs& p) {
  return batch_norm_plan::workspace(p.rows, p.channels);
}

}  // namespace swath::kernels
