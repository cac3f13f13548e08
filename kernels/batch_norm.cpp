// Batch normalisation on the CPU (methods.md §2). Statistics are sums over chunks of rows, shifted by the mean
// of the chunk's first rows: these are among the summed values, so (shift − mean)² ≤ rows · variance / 4, and cancellation
// stays small whatever the mean. Chunks are merged in order in double. The second pass runs backwards, where the cache still
// holds the first pass's end.
#include "kernels/batch_norm.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/batch_norm_plan.h"
#include "kernels/bits.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

enum class Mask : std::uint8_t { none, bits, recomputed };
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
void merge(const BatchNormStatisticsArgs& p, const float* partial, ChannelBlock block, double* mean, double* deviation) {
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
void statistics(const BatchNormStatisticsArgs& p) {
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
      p.mean[c] = static_cast<float>(mean[i]);
      p.invstd[c] = static_cast<float>(1 / std::sqrt(sum / n + static_cast<double>(p.eps)));
      const auto update = [&](float& running, double batch) {
        running = static_cast<float>((1 - momentum) * static_cast<double>(running) + momentum * batch);
      };
      if (p.running_mean) update(p.running_mean[c], mean[i]);
      if (p.running_var) update(p.running_var[c], sum / std::fmax(n - 1, 1));
    }
  });
}

enum class Extra : std::uint8_t { none, residual, shortcut };

/// A row (or some) of a tensor that is normalised.
template <class T>
struct Rows {
  const T* x;
  const float *gamma, *beta, *mean, *spread;
};
template <class T>
Rows<T> rows_of(const NormTerm& t, std::int64_t at) {
  return {t.x ? typed<T>(t.x) + at : nullptr, t.gamma, t.beta, t.mean, t.spread};
}

/// γ / σ of one channel.
template <class T>
float scale_of(const Rows<T>& t, Spread spread, float eps, std::int64_t c) {
  return spread == Spread::variance ? t.gamma[c] / std::sqrt(t.spread[c] + eps) : t.gamma[c] * t.spread[c];
}

/// kCount rows from element `at` on. `flags` are kCount × kColumns bytes.
template <int kCount, class T, Extra kExtra, Spread kSpread, bool kMask>
void apply_rows(const BatchNormApplyArgs& p, std::int64_t row, std::uint8_t (*flags)[kColumns]) {
  const std::int64_t channels = p.channels, mask_row = (channels + 7) / 8;
  const Rows<T> main = rows_of<T>(p.main, row * channels), other = rows_of<T>(p.shortcut, row * channels);
  const T* residual = kExtra == Extra::residual ? typed<T>(p.residual) + row * channels : nullptr;
  T* y = typed<T>(p.y) + row * channels;
  const float floor = p.activation == Activation::relu ? 0.0f : -std::numeric_limits<float>::infinity(), eps = p.eps;
  for (std::int64_t begin = 0; begin < channels; begin += kColumns) {
    const std::int64_t size = std::min(kColumns, channels - begin);
#pragma omp simd
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t c = begin + i;
      const float mean = main.mean[c], beta = main.beta[c], scale = scale_of(main, kSpread, eps, c);
      float mean2 = 0, beta2 = 0, scale2 = 0;
      if constexpr (kExtra == Extra::shortcut)
        mean2 = other.mean[c], beta2 = other.beta[c], scale2 = scale_of(other, kSpread, eps, c);
#pragma GCC unroll 4
      for (int k = 0; k < kCount; ++k) {
        float v = normalise(to_float(main.x[k * channels + c]), mean, scale, beta);
        if constexpr (kExtra == Extra::residual) v += to_float(residual[k * channels + c]);
        if constexpr (kExtra == Extra::shortcut) v += normalise(to_float(other.x[k * channels + c]), mean2, scale2, beta2);
        v = v < floor ? floor : v;
        if constexpr (kMask) flags[k][i] = v > 0 ? 1 : 0;
        y[k * channels + c] = from_float<T>(v);
      }
    }
    if constexpr (kMask)
      for (int k = 0; k < kCount; ++k) pack_bits(flags[k], size, p.mask + (row + k) * mask_row + begin / 8);
  }
}

template <class T, Extra kExtra, Spread kSpread, bool kMask>
void apply_all(const BatchNormApplyArgs& p) {
  const std::int64_t step = batch_norm_plan::cpu_chunk_rows(p.channels);
  const std::int64_t chunks = batch_norm_plan::cpu_chunks(p.rows, p.channels);
  const bool in_groups = grouped<T>(p.rows, p.channels);
  parallel_for(chunks, [&](std::int64_t i) {
    const std::int64_t begin = (chunks - 1 - i) * step;
    std::uint8_t flags[kRows][kColumns];
    for_rows(in_groups, begin, std::min(begin + step, p.rows),
             [&](auto count, std::int64_t r) { apply_rows<count.value, T, kExtra, kSpread, kMask>(p, r, flags); });
  });
}

template <class T, Extra kExtra>
void apply(const BatchNormApplyArgs& p) {
  if (p.spread == Spread::inverse_deviation)
    return p.mask ? apply_all<T, kExtra, Spread::inverse_deviation, true>(p)
                  : apply_all<T, kExtra, Spread::inverse_deviation, false>(p);
  return p.mask ? apply_all<T, kExtra, Spread::variance, true>(p) : apply_all<T, kExtra, Spread::variance, false>(p);
}

/// Per-channel results between the two backward passes, and the chunks' sums behind them.
struct Scratch {
  explicit Scratch(const BatchNormBackwardArgs& a)
      : coefficients(static_cast<float*>(a.workspace)),
        partial(coefficients + batch_norm_plan::kCoefficients * a.channels),
        channels(a.channels) {}
  const float* slope(int term) const { return coefficients + 3 * term * channels; }
  const float* linear(int term) const { return slope(term) + channels; }
  const float* constant(int term) const { return slope(term) + 2 * channels; }
  float *coefficients, *partial;
  std::int64_t channels;
};

/// What a backward pass reads: the incoming gradient (one tensor or two) and where its mask comes from.
template <class T>
struct Incoming {
  const T *d_y, *second;
  const std::uint8_t* mask;
};

/// How one pass is compiled.
template <Mask kMaskKind, bool kSecondGradient, bool kShortcutTerm, bool kStored>
struct Form {
  static constexpr Mask kMask = kMaskKind;
  static constexpr bool kSecond = kSecondGradient, kShortcut = kShortcutTerm, kStore = kStored;
};

template <class F, class T>
float incoming(float first, float second, std::uint8_t flag, float x, float mean, float scale, float beta) {
  const float g = F::kSecond ? to_float(from_float<T>(first + second)) : first;
  if constexpr (F::kMask == Mask::bits) return flag ? g : 0.0f;
  if constexpr (F::kMask == Mask::recomputed) return normalise(x, mean, scale, beta) > 0 ? g : 0.0f;
  return g;
}

/// Calls body(column, size, flags) for up to kColumns channels at a time, with the mask of kCount rows.
template <int kCount, class F, class Body>
void for_columns(const BatchNormBackwardArgs& a, const std::uint8_t* mask, std::int64_t row, const Body& body) {
  std::uint8_t flags[kCount][kColumns];
  const std::int64_t mask_row = (a.channels + 7) / 8;
  for (std::int64_t begin = 0; begin < a.channels; begin += kColumns) {
    const std::int64_t size = std::min(kColumns, a.channels - begin);
    if constexpr (F::kMask == Mask::bits)
      for (int k = 0; k < kCount; ++k) expand_bits(mask + (row + k) * mask_row + begin / 8, size, flags[k]);
    body(begin, size, flags);
  }
}

/// sums: Σ g, Σ g (x − μ), and Σ g (x − μ) of the shortcut, each of `channels`.
template <int kCount, class T, class F>
void reduce_rows(const BatchNormBackwardArgs& a, const Incoming<T>& in, std::int64_t row, float* sums) {
  const std::int64_t channels = a.channels, at = row * channels;
  const Rows<T> main = rows_of<T>(a.main, at), other = rows_of<T>(a.shortcut, at);
  const T *first = in.d_y + at, *second = F::kSecond ? in.second + at : nullptr;
  T* store = F::kStore ? typed<T>(a.d_residual) + at : nullptr;
  for_columns<kCount, F>(a, in.mask, row, [&](std::int64_t begin, std::int64_t size, const std::uint8_t(*flags)[kColumns]) {
#pragma omp simd
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t c = begin + i;
      const float mean = main.mean[c], mean2 = F::kShortcut ? other.mean[c] : 0.0f;
      const float scale = F::kMask == Mask::recomputed ? main.gamma[c] * main.spread[c] : 0.0f;
      const float beta = F::kMask == Mask::recomputed ? main.beta[c] : 0.0f;
      float s = 0, q = 0, q2 = 0;
#pragma GCC unroll 4
      for (int k = 0; k < kCount; ++k) {
        const std::int64_t j = k * channels + c;
        const float v = to_float(main.x[j]);
        const float g = incoming<F, T>(to_float(first[j]), F::kSecond ? to_float(second[j]) : 0.0f,
                                       F::kMask == Mask::bits ? flags[k][i] : std::uint8_t{0}, v, mean, scale, beta);
        s += g;
        q += g * (v - mean);
        if constexpr (F::kShortcut) q2 += g * (to_float(other.x[j]) - mean2);
        if constexpr (F::kStore) store[j] = from_float<T>(g);
      }
      sums[c] += s;
      sums[channels + c] += q;
      if constexpr (F::kShortcut) sums[2 * channels + c] += q2;
    }
  });
}

/// The same rows of d_x of both terms.
template <int kCount, class T, class F>
void input_rows(const BatchNormBackwardArgs& a, const Incoming<T>& in, const Scratch& scratch, std::int64_t row) {
  const std::int64_t channels = a.channels, at = row * channels;
  const Rows<T> main = rows_of<T>(a.main, at), other = rows_of<T>(a.shortcut, at);
  const T *first = in.d_y + at, *second = F::kSecond ? in.second + at : nullptr;
  T *d_x = typed<T>(a.d_main.d_x) + at, *d_other = F::kShortcut ? typed<T>(a.d_shortcut.d_x) + at : nullptr;
  const float *slopes = scratch.slope(0), *linears = scratch.linear(0), *constants = scratch.constant(0);
  const float *slopes2 = scratch.slope(1), *linears2 = scratch.linear(1);
  for_columns<kCount, F>(a, in.mask, row, [&](std::int64_t begin, std::int64_t size, const std::uint8_t(*flags)[kColumns]) {
#pragma omp simd
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t c = begin + i;
      const float mean = main.mean[c], slope = slopes[c], linear = linears[c], constant = constants[c];
      const float scale = F::kMask == Mask::recomputed ? main.gamma[c] * main.spread[c] : 0.0f;
      const float beta = F::kMask == Mask::recomputed ? main.beta[c] : 0.0f;
      float mean2 = 0, slope2 = 0, linear2 = 0;
      if constexpr (F::kShortcut) mean2 = other.mean[c], slope2 = slopes2[c], linear2 = linears2[c];
#pragma GCC unroll 4
      for (int k = 0; k < kCount; ++k) {
        const std::int64_t j = k * channels + c;
        const float v = to_float(main.x[j]);
        const float g = incoming<F, T>(to_float(first[j]), F::kSecond ? to_float(second[j]) : 0.0f,
                                       F::kMask == Mask::bits ? flags[k][i] : std::uint8_t{0}, v, mean, scale, beta);
        d_x[j] = from_float<T>(slope * ((g - constant) - (v - mean) * linear));
        if constexpr (F::kShortcut)
          d_other[j] = from_float<T>(slope2 * ((g - constant) - (to_float(other.x[j]) - mean2) * linear2));
      }
    }
  });
}

/// Coefficients of d_x = γ/σ · (g − mean(g) − (x − μ)/σ² · mean(g (x − μ))), and the gradients of γ and β.
void finish_channel(const BatchNormBackwardArgs& a, const NormTerm& term, const NormGradient& gradient, float* coefficients,
                    std::int64_t c, double sum, double product) {
  const double invstd = static_cast<double>(term.spread[c]), n = static_cast<double>(std::max<std::int64_t>(a.rows, 1));
  coefficients[c] = term.gamma[c] * term.spread[c];
  coefficients[a.channels + c] = static_cast<float>(product * invstd * invstd / n);
  coefficients[2 * a.channels + c] = static_cast<float>(sum / n);
  if (gradient.mode == GradMode::skip) return;
  const bool add = gradient.mode == GradMode::accumulate;
  gradient.d_gamma[c] = (add ? gradient.d_gamma[c] : 0.0f) + static_cast<float>(product * invstd);
  gradient.d_beta[c] = (add ? gradient.d_beta[c] : 0.0f) + static_cast<float>(sum);
}

template <bool kShortcut>
void finish(const BatchNormBackwardArgs& a, const Scratch& scratch) {
  constexpr int kSums = kShortcut ? 3 : 2;
  const std::int64_t chunks = batch_norm_plan::cpu_chunks(a.rows, a.channels);
  for_channel_blocks(a.channels, [&](ChannelBlock block) {
    double totals[kSums][kColumns] = {};
    for (std::int64_t k = 0; k < chunks; ++k)
      for (int s = 0; s < kSums; ++s) {
        const float* from = scratch.partial + (k * kSums + s) * a.channels + block.begin;
        for (std::int64_t i = 0; i < block.size; ++i) totals[s][i] += static_cast<double>(from[i]);
      }
    for (std::int64_t i = 0; i < block.size; ++i) {
      const std::int64_t c = block.begin + i;
      finish_channel(a, a.main, a.d_main, scratch.coefficients, c, totals[0][i], totals[1][i]);
      if constexpr (kShortcut)
        finish_channel(a, a.shortcut, a.d_shortcut, scratch.coefficients + 3 * a.channels, c, totals[0][i], totals[2][i]);
    }
  });
}

template <class T, class F>
void reduce_all(const BatchNormBackwardArgs& a, const Incoming<T>& in, const Scratch& scratch) {
  constexpr int kSums = F::kShortcut ? 3 : 2;
  const std::int64_t step = batch_norm_plan::cpu_chunk_rows(a.channels);
  const bool in_groups = grouped<T>(a.rows, a.channels);
  parallel_for(batch_norm_plan::cpu_chunks(a.rows, a.channels), [&](std::int64_t k) {
    float* sums = scratch.partial + k * kSums * a.channels;
    std::fill(sums, sums + kSums * a.channels, 0.0f);
    for_rows(in_groups, k * step, std::min((k + 1) * step, a.rows),
             [&](auto count, std::int64_t r) { reduce_rows<count.value, T, F>(a, in, r, sums); });
  });
  finish<F::kShortcut>(a, scratch);
}

template <class T, class F>
void input_all(const BatchNormBackwardArgs& a, const Incoming<T>& in, const Scratch& scratch) {
  if (!a.d_main.d_x) return;
  const std::int64_t step = batch_norm_plan::cpu_chunk_rows(a.channels);
  const std::int64_t chunks = batch_norm_plan::cpu_chunks(a.rows, a.channels);
  const bool in_groups = grouped<T>(a.rows, a.channels);
  parallel_for(chunks, [&](std::int64_t i) {
    const std::int64_t begin = (chunks - 1 - i) * step;
    for_rows(in_groups, begin, std::min(begin + step, a.rows),
             [&](auto count, std::int64_t r) { input_rows<count.value, T, F>(a, in, scratch, r); });
  });
}

template <class T, Mask kMask, bool kSecond, bool kShortcut>
void backward(const BatchNormBackwardArgs& a) {
  const Scratch scratch(a);
  const Incoming<T> in{typed<T>(a.d_y), typed<T>(a.d_y_second), a.mask};
  // Without mask and second gradient the masked sum is d_y itself.
  if (!a.d_residual || (kMask == Mask::none && !kSecond && a.d_residual == a.d_y)) {
    reduce_all<T, Form<kMask, kSecond, kShortcut, false>>(a, in, scratch);
    return input_all<T, Form<kMask, kSecond, kShortcut, false>>(a, in, scratch);
  }
  reduce_all<T, Form<kMask, kSecond, kShortcut, true>>(a, in, scratch);
  const Incoming<T> stored{typed<T>(a.d_residual), nullptr, nullptr};
  input_all<T, Form<Mask::none, false, kShortcut, false>>(a, stored, scratch);
}

template <class T, Mask kMask, bool kShortcut>
void backward(const BatchNormBackwardArgs& a) {
  return a.d_y_second ? backward<T, kMask, true, kShortcut>(a) : backward<T, kMask, false, kShortcut>(a);
}

}  // namespace

void batch_norm_statistics(const BatchNormStatisticsArgs& p, Cpu) {
  if (p.rows == 0 || p.channels == 0) {
    for (std::int64_t c = 0; c < p.channels; ++c) p.mean[c] = p.invstd[c] = 0;
    return;
  }
  with_element(p.dtype, [&](auto element) { statistics<decltype(element)>(p); });
}

void batch_norm_apply(const BatchNormApplyArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    if (p.shortcut.x) return apply<T, Extra::shortcut>(p);
    return p.residual ? apply<T, Extra::residual>(p) : apply<T, Extra::none>(p);
  });
}

void batch_norm_backward(const BatchNormBackwardArgs& a, Cpu) {
  with_element(a.dtype, [&](auto element) {
    using T = decltype(element);
    if (a.shortcut.x)
      return a.activation == Activation::none ? backward<T, Mask::none, true>(a) : backward<T, Mask::bits, true>(a);
    if (a.activation == Activation::none) return backward<T, Mask::none, false>(a);
    return a.mask ? backward<T, Mask::bits, false>(a) : backward<T, Mask::recomputed, false>(a);
  });
}

std::size_t batch_norm_workspace(std::int64_t rows, std::int64_t channels) {
  return batch_norm_plan::workspace(rows, channels);
}

std::int64_t batch_norm_counters(std::int64_t channels) { return batch_norm_plan::cuda_plan(channels).groups; }

}  // namespace swath::kernels
