// The two passes of batch norm's backward direction, over any source of the incoming gradient.
#pragma once
#include "kernels/batch_norm.cuh"

namespace swath::kernels::batch_norm {

enum class Mask : std::uint8_t { none, bits, recomputed };

/// d_x = slope · ((g − constant) − (x − mean) · linear), per channel.
struct Coefficients {
  float *slope, *linear, *constant;
};
__host__ __device__ inline Coefficients coefficients_in(float* workspace, std::int64_t channels, int term) {
  float* at = workspace + 3 * term * channels;
  return {at, at + channels, at + 2 * channels};
}

/// What both passes read beside the incoming gradient.
struct Backward {
  std::int64_t rows, channels;
  NormTerm main, shortcut;
  NormGradient d_main, d_shortcut;
  void* store;       // rows × channels, or null: where the first pass leaves the masked gradient
  float* workspace;  // coefficients of both terms, then partial sums
  std::uint32_t* counters;
};

/// A row's cells as read. Source::read<kWide>(row, element, channels of the thread) is the incoming gradient as a Source::Row,
/// Source::gradient(that) the gradient itself, masked where it has bits; Source::kTensors says how many tensors a row waits
/// for.
template <class T, class Source>
struct BackwardRow {
  typename Source::Row g;
  Raw<T> x, other;
};

template <bool kWide, class T, bool kShortcut, class Source>
__device__ __forceinline__ BackwardRow<T, Source> read_row(const Backward& p, const Source& source, std::int64_t r,
                                                           const Channels& at) {
  const std::int64_t i = r * p.channels + at.begin;
  BackwardRow<T, Source> row;
  row.x = load_raw<kWide>(static_cast<const T*>(p.main.x) + i, at.valid);
  if constexpr (kShortcut) row.other = load_raw<kWide>(static_cast<const T*>(p.shortcut.x) + i, at.valid);
  row.g = source.template read<kWide>(r, i, at);
  return row;
}

template <bool kShortcut, class Source>
constexpr int kTensorsOfRow = Source::kTensors + (kShortcut ? 2 : 1);

__device__ inline void finish_term(const Backward& p, const NormTerm& term, const NormGradient& gradient, int which,
                                   std::int64_t c, double sum, double product) {
  const Coefficients out = coefficients_in(p.workspace, p.channels, which);
  const double invstd = term.spread[c], n = p.rows > 0 ? static_cast<double>(p.rows) : 1.0;
  out.slope[c] = term.gamma[c] * term.spread[c];
  out.linear[c] = static_cast<float>(product * invstd * invstd / n);
  out.constant[c] = static_cast<float>(sum / n);
  if (gradient.mode == GradMode::skip) return;
  const bool add = gradient.mode == GradMode::accumulate;
  gradient.d_gamma[c] = (add ? gradient.d_gamma[c] : 0.0f) + static_cast<float>(product * invstd);
  gradient.d_beta[c] = (add ? gradient.d_beta[c] : 0.0f) + static_cast<float>(sum);
}

/// ReLU's mask, where it is recomputed.
template <Mask kMask>
__device__ __forceinline__ float masked(float g, float x, float mean, float scale, float beta) {
  if constexpr (kMask == Mask::recomputed) return normalise(x, mean, scale, beta) > 0 ? g : 0.0f;
  return g;
}

/// Per-channel values of the first pass.
struct SumValues {
  Cell mean, scale, beta, shortcut_mean;
};

template <Mask kMask, bool kShortcut>
__device__ __forceinline__ SumValues sum_values(const Backward& p) {
  __shared__ Table<kMask == Mask::recomputed ? 3 : kShortcut ? 2 : 1> table;
  for_channels(p.channels, [&](std::int64_t c, int column) {
    const float mean = p.main.mean[c];
    if constexpr (kShortcut) table.at(1, column) = p.shortcut.mean[c];
    if constexpr (kMask == Mask::recomputed) {
      const float gamma = p.main.gamma[c], spread = p.main.spread[c], beta = p.main.beta[c];
      table.at(1, column) = gamma * spread;
      table.at(2, column) = beta;
    }
    table.at(0, column) = mean;
  });
  SumValues values;
  values.mean = table.cell(0);
  if constexpr (kShortcut) values.shortcut_mean = table.cell(1);
  if constexpr (kMask == Mask::recomputed) values.scale = table.cell(1), values.beta = table.cell(2);
  return values;
}

/// First pass: Σ g, Σ g (x − μ) of both terms per block, and by the last block the coefficients and parameters' gradients.
template <bool kWide, class T, Mask kMask, bool kShortcut, class Source>
__global__ void __launch_bounds__(kSumThreads) backward_sums_kernel(Backward p, Source source) {
  static_assert(kMask != Mask::recomputed || !kShortcut, "beside a shortcut the mask is stored");
  constexpr int kSums = kShortcut ? 3 : 2;
  const Channels at = channels_of_thread(p.channels);
  float sums[kSums][kCell] = {};
  stream_rows<kWide ? kRowsUnderWay<kTensorsOfRow<kShortcut, Source>, T> : 1>(
      rows_of_thread(p.rows, at), [&](std::int64_t r) { return read_row<kWide, T, kShortcut>(p, source, r, at); },
      [&](const auto&) { return sum_values<kMask, kShortcut>(p); },
      [&](const SumValues& of, std::int64_t r, const BackwardRow<T, Source>& row) {
        Cell g = source.gradient(row.g);
        const Cell x = unpack(row.x);
#pragma unroll
        for (int k = 0; k < kCell; ++k) {
          g.v[k] = masked<kMask>(g.v[k], x.v[k], of.mean.v[k], of.scale.v[k], of.beta.v[k]);
          sums[0][k] += g.v[k];
          sums[1][k] += g.v[k] * (x.v[k] - of.mean.v[k]);
        }
        if constexpr (kShortcut) {
          const Cell other = unpack(row.other);
#pragma unroll
          for (int k = 0; k < kCell; ++k) sums[2][k] += g.v[k] * (other.v[k] - of.shortcut_mean.v[k]);
        }
        if (p.store) store_raw<kWide>(static_cast<T*>(p.store) + r * p.channels + at.begin, pack<T>(g), at.valid);
      });
  float* partials = p.workspace + batch_norm_plan::kCoefficients * p.channels;
  store_sums<kSums>(sums, p.channels, partials + blockIdx.y * kSums * p.channels);
  if (!last_of_group(p.counters)) return;
  merge_chunks<kSums, kSums>(
      p.channels, partials, [](std::int64_t) { return 0.0; },
      [](double, std::int64_t, const float* partial, double* totals) {
#pragma unroll
        for (int s = 0; s < kSums; ++s) totals[s] += partial[s];
      },
      [&](std::int64_t c, const double* totals) {
        finish_term(p, p.main, p.d_main, 0, c, totals[0], totals[1]);
        if constexpr (kShortcut) finish_term(p, p.shortcut, p.d_shortcut, 1, c, totals[0], totals[2]);
      });
}

/// Per-channel values of the second pass. Both terms have one `constant`; `slope` is also the scale of a recomputed mask.
struct InputValues {
  Cell mean, slope, linear, constant, beta, shortcut_mean, shortcut_slope, shortcut_linear;
};

template <Mask kMask, bool kShortcut>
__device__ __forceinline__ InputValues input_values(const Backward& p) {
  __shared__ Table<kShortcut ? 7 : kMask == Mask::recomputed ? 5 : 4> table;
  for_channels(p.channels, [&](std::int64_t c, int column) {
    const Coefficients main = coefficients_in(p.workspace, p.channels, 0);
    const float mean = p.main.mean[c], slope = main.slope[c], linear = main.linear[c], constant = main.constant[c];
    if constexpr (kMask == Mask::recomputed) table.at(4, column) = p.main.beta[c];
    if constexpr (kShortcut) {
      const Coefficients of = coefficients_in(p.workspace, p.channels, 1);
      const float shortcut_mean = p.shortcut.mean[c], shortcut_slope = of.slope[c], shortcut_linear = of.linear[c];
      table.at(4, column) = shortcut_mean, table.at(5, column) = shortcut_slope, table.at(6, column) = shortcut_linear;
    }
    table.at(0, column) = mean, table.at(1, column) = slope, table.at(2, column) = linear, table.at(3, column) = constant;
  });
  InputValues values;
  values.mean = table.cell(0), values.slope = table.cell(1), values.linear = table.cell(2), values.constant = table.cell(3);
  if constexpr (kMask == Mask::recomputed) values.beta = table.cell(4);
  if constexpr (kShortcut)
    values.shortcut_mean = table.cell(4), values.shortcut_slope = table.cell(5), values.shortcut_linear = table.cell(6);
  return values;
}

/// d_x of one cell, whose gradient less the constant is given.
__device__ __forceinline__ Cell input_gradient(const Cell& g, const Cell& x, const Cell& mean, const Cell& slope,
                                               const Cell& linear) {
  Cell out;
#pragma unroll
  for (int k = 0; k < kCell; ++k) out.v[k] = slope.v[k] * (g.v[k] - (x.v[k] - mean.v[k]) * linear.v[k]);
  return out;
}

/// Second pass: d_x of both terms. Rows come in the first pass's reverse order: the last ones are still in the cache.
template <bool kWide, class T, Mask kMask, bool kShortcut, class Source>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks) backward_input_kernel(Backward p, Source source) {
  const Channels at = channels_of_thread(p.channels);
  stream_rows<kWide ? kRowsUnderWay<kTensorsOfRow<kShortcut, Source>, T> : 1>(
      rows_of_thread(p.rows, at), [&](std::int64_t r) { return read_row<kWide, T, kShortcut>(p, source, p.rows - 1 - r, at); },
      [&](const auto&) { return input_values<kMask, kShortcut>(p); },
      [&](const InputValues& of, std::int64_t r, const BackwardRow<T, Source>& row) {
        const std::int64_t i = (p.rows - 1 - r) * p.channels + at.begin;
        Cell g = source.gradient(row.g);
        const Cell x = unpack(row.x);
#pragma unroll
        for (int k = 0; k < kCell; ++k)
          g.v[k] = masked<kMask>(g.v[k], x.v[k], of.mean.v[k], of.slope.v[k], of.beta.v[k]) - of.constant.v[k];
        store_raw<kWide>(static_cast<T*>(p.d_main.d_x) + i, pack<T>(input_gradient(g, x, of.mean, of.slope, of.linear)),
                         at.valid);
        if constexpr (kShortcut) {
          const Cell d_x = input_gradient(g, unpack(row.other), of.shortcut_mean, of.shortcut_slope, of.shortcut_linear);
          store_raw<kWide>(static_cast<T*>(p.d_shortcut.d_x) + i, pack<T>(d_x), at.valid);
        }
      });
}

template <bool kWide, class T, Mask kMask, bool kShortcut, class Source>
void launch_sums(const Backward& p, const Source& source, CudaStream exec) {
  const CudaPlan plan = batch_norm_plan::cuda_plan(p.channels);
  launch(backward_sums_kernel<kWide, T, kMask, kShortcut, Source>, sum_grid(plan, p.rows), block_of(plan, kSumThreads), 0, exec,
         p, source);
}
template <bool kWide, class T, Mask kMask, bool kShortcut, class Source>
void launch_input(const Backward& p, const Source& source, CudaStream exec) {
  if (!p.d_main.d_x) return;
  const CudaPlan plan = batch_norm_plan::cuda_plan(p.channels);
  launch(backward_input_kernel<kWide, T, kMask, kShortcut, Source>, map_grid(plan, p.rows), block_of(plan, kMapThreads), 0,
         exec, p, source);
}

}  // namespace swath::kernels::batch_norm
