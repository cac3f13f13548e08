// Batch normalisation on CUDA (methods.md §2): statistics in one launch, whose last block per channel group merges the partial
// sums in order, in double, and updates the running statistics; one pass applies; two passes go back.
#include "kernels/batch_norm.cuh"

namespace swath::kernels {
namespace batch_norm {
namespace {

template <bool kWide, class T>
__global__ void __launch_bounds__(kSumThreads)
    statistics_kernel(BatchNormStatisticsArgs p, std::int64_t chunk_rows, std::int64_t chunks) {
  const Channels at = channels_of_thread(p.channels);
  const std::int64_t begin = blockIdx.y * chunk_rows, end = begin + chunk_rows < p.rows ? begin + chunk_rows : p.rows;
  const T* x = static_cast<const T*>(p.x);
  float* partial = static_cast<float*>(p.workspace);
  float* own = partial + 3 * static_cast<std::int64_t>(blockIdx.y) * p.channels;
  __shared__ Cell shift[kMaxLanes];
  float sums[2][kCell] = {};
  if (at.valid > 0) {
    if (threadIdx.y == 0) {
      const std::int64_t first = end - begin < batch_norm_plan::kShiftRows ? end - begin : batch_norm_plan::kShiftRows;
      Cell mean{};
      for (std::int64_t r = begin; r < begin + first; ++r) {
        const Cell v = load_cell<kWide>(x + r * p.channels + at.begin, at.valid);
#pragma unroll
        for (int k = 0; k < kCell; ++k) mean.v[k] += v.v[k] / static_cast<float>(first);
      }
      store_cell<false>(own + at.begin, mean, at.valid);
      shift[threadIdx.x] = mean;
    }
  }
  __syncthreads();
  if (at.valid > 0) {
    const Cell from = shift[threadIdx.x];
    stream_rows<kWide ? 4 : 1>(
        begin + threadIdx.y, end, blockDim.y,
        [&](std::int64_t r) { return load_cell<kWide>(x + r * p.channels + at.begin, at.valid); },
        [&](std::int64_t, const Cell& v) {
#pragma unroll
          for (int k = 0; k < kCell; ++k) {
            const float d = v.v[k] - from.v[k];
            sums[0][k] += d;
            sums[1][k] += d * d;
          }
        });
  }
  store_sums<2>(sums, p.channels, own + p.channels);
  if (!last_of_group(p.counters)) return;
  const double n = static_cast<double>(p.rows), momentum = p.momentum;
  // Sums of x − pivot and its square, where the pivot is the shift of the first chunk.
  merge_chunks<2>(
      chunks, p.channels,
      [&](std::int64_t chunk, std::int64_t c, double* totals) {
        const std::int64_t left = p.rows - chunk * chunk_rows;
        const double count = static_cast<double>(left < chunk_rows ? left : chunk_rows);
        const float* from = partial + 3 * chunk * p.channels + c;
        const double offset = static_cast<double>(__ldcg(from)) - static_cast<double>(__ldcg(partial + c));
        const double sum = __ldcg(from + p.channels);
        totals[0] += sum + count * offset;
        totals[1] += __ldcg(from + 2 * p.channels) + offset * (2 * sum + count * offset);
      },
      [&](std::int64_t c, const double* totals) {
        const double mean = __ldcg(partial + c) + totals[0] / n, rest = totals[1] - totals[0] * totals[0] / n;
        const double deviation = rest < 0 ? 0 : rest;
        p.mean[c] = static_cast<float>(mean);
        p.invstd[c] = static_cast<float>(1 / sqrt(deviation / n + p.eps));
        if (p.running_mean) p.running_mean[c] = static_cast<float>((1 - momentum) * p.running_mean[c] + momentum * mean);
        if (p.running_var)
          p.running_var[c] =
              static_cast<float>((1 - momentum) * p.running_var[c] + momentum * (deviation / (n > 2 ? n - 1 : 1)));
      });
}

enum class Extra : std::uint8_t { none, residual, shortcut };

/// Per-channel values of one term.
template <bool kWide>
struct Term {
  Cell mean, scale, beta;

  __device__ Term(const NormTerm& t, const BatchNormApplyArgs& p, const Channels& at)
      : mean(load_cell<kWide>(t.mean + at.begin, at.valid)),
        scale(load_cell<kWide>(t.gamma + at.begin, at.valid)),
        beta(load_cell<kWide>(t.beta + at.begin, at.valid)) {
    const Cell spread = load_cell<kWide>(t.spread + at.begin, at.valid);
#pragma unroll
    for (int k = 0; k < kCell; ++k)
      scale.v[k] = p.spread == Spread::variance ? scale.v[k] / sqrtf(spread.v[k] + p.eps) : scale.v[k] * spread.v[k];
  }
  __device__ float operator()(const Cell& x, int k) const { return normalise(x.v[k], mean.v[k], scale.v[k], beta.v[k]); }
};

template <bool kWide, class T, Extra kExtra>
__global__ void __launch_bounds__(kMapThreads) apply_kernel(BatchNormApplyArgs p) {
  const Channels at = channels_of_thread(p.channels);
  if (at.valid == 0) return;
  const Term<kWide> main(p.main, p, at), shortcut(kExtra == Extra::shortcut ? p.shortcut : p.main, p, at);
  const float floor = p.activation == Activation::relu ? 0.0f : -INFINITY;
  const std::int64_t mask_row = ceil_div(p.channels, kCell);
  struct Row {
    Cell x, extra;
  };
  stream_rows<kWide ? 2 : 1>(
      static_cast<std::int64_t>(blockIdx.y) * blockDim.y + threadIdx.y, p.rows,
      static_cast<std::int64_t>(gridDim.y) * blockDim.y,
      [&](std::int64_t r) {
        const std::int64_t i = r * p.channels + at.begin;
        Row row;
        row.x = load_cell<kWide>(static_cast<const T*>(p.main.x) + i, at.valid);
        if constexpr (kExtra == Extra::residual) row.extra = load_cell<kWide>(static_cast<const T*>(p.residual) + i, at.valid);
        if constexpr (kExtra == Extra::shortcut)
          row.extra = load_cell<kWide>(static_cast<const T*>(p.shortcut.x) + i, at.valid);
        return row;
      },
      [&](std::int64_t r, Row& row) {
        unsigned bits = 0;
#pragma unroll
        for (int k = 0; k < kCell; ++k) {
          float y = main(row.x, k);
          if constexpr (kExtra == Extra::residual) y += row.extra.v[k];
          if constexpr (kExtra == Extra::shortcut) y += shortcut(row.extra, k);
          y = y < floor ? floor : y;
          bits |= (y > 0 ? 1u : 0u) << k;
          row.x.v[k] = y;
        }
        store_cell<kWide>(static_cast<T*>(p.y) + r * p.channels + at.begin, row.x, at.valid);
        if (p.mask) p.mask[r * mask_row + at.begin / kCell] = static_cast<std::uint8_t>(bits & ((1u << at.valid) - 1));
      });
}

template <bool kWide, class T>
void apply(const BatchNormApplyArgs& p, CudaStream exec) {
  auto kernel = apply_kernel<kWide, T, Extra::none>;
  if (p.residual) kernel = apply_kernel<kWide, T, Extra::residual>;
  if (p.shortcut.x) kernel = apply_kernel<kWide, T, Extra::shortcut>;
  const CudaPlan plan = batch_norm_plan::cuda_plan(p.rows, p.channels);
  launch(kernel, row_grid(plan, p.rows), block_of(plan, kMapThreads), 0, exec, p);
}

/// The incoming gradient as one or two tensors, and ReLU's mask as bits.
template <class T, Mask kMask>
struct Elements {
  static constexpr int kBatch = 2;
  const T *first, *second;  // second may be null
  const std::uint8_t* mask;
  std::int64_t mask_row;

  template <bool kWide>
  __device__ Cell read(std::int64_t row, std::int64_t i, const Channels& at) const {
    Cell g = load_cell<kWide>(first + i, at.valid);
    if (second) {
      const Cell more = load_cell<kWide>(second + i, at.valid);
#pragma unroll
      for (int k = 0; k < kCell; ++k) g.v[k] = to_float(from_float<T>(g.v[k] + more.v[k]));
    }
    if constexpr (kMask == Mask::bits) {
      const unsigned bits = mask[row * mask_row + at.begin / kCell];
#pragma unroll
      for (int k = 0; k < kCell; ++k) g.v[k] = bits >> k & 1u ? g.v[k] : 0.0f;
    }
    return g;
  }
};

template <bool kWide, class T, Mask kMask, bool kShortcut>
void backward_with(const BatchNormBackwardArgs& a, const Backward& p, CudaStream exec) {
  const Elements<T, kMask> source{typed<T>(a.d_y), typed<T>(a.d_y_second), a.mask, ceil_div(a.channels, kCell)};
  launch_sums<kWide, T, kMask, kShortcut>(p, source, exec);
  if (!p.store) return launch_input<kWide, T, kMask, kShortcut>(p, source, exec);
  const Elements<T, Mask::none> stored{typed<T>(a.d_residual), nullptr, nullptr, 0};
  launch_input<kWide, T, Mask::none, kShortcut>(p, stored, exec);
}

template <bool kWide, class T>
void backward(const BatchNormBackwardArgs& a, CudaStream exec) {
  // Without mask and second gradient the masked sum is d_y itself.
  const bool same = a.d_residual == a.d_y && a.activation == Activation::none && !a.d_y_second;
  const Backward p{a.rows,
                   a.channels,
                   a.main,
                   a.shortcut,
                   a.d_main,
                   a.d_shortcut,
                   same ? nullptr : a.d_residual,
                   static_cast<float*>(a.workspace),
                   a.counters};
  if (a.shortcut.x) {
    if (a.activation == Activation::none) return backward_with<kWide, T, Mask::none, true>(a, p, exec);
    return backward_with<kWide, T, Mask::bits, true>(a, p, exec);
  }
  if (a.activation == Activation::none) return backward_with<kWide, T, Mask::none, false>(a, p, exec);
  if (a.mask) return backward_with<kWide, T, Mask::bits, false>(a, p, exec);
  backward_with<kWide, T, Mask::recomputed, false>(a, p, exec);
}

template <class Body>
void with_width(bool is_wide, const Body& body) {
  if (is_wide) return body(std::true_type{});
  body(std::false_type{});
}

void statistics(const BatchNormStatisticsArgs& p, CudaStream exec) {
  if (p.channels == 0) return;
  if (p.rows == 0) return clear(p.channels, p.mean, p.invstd, exec);
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    with_width(wide(p.channels, {p.x}), [&](auto is_wide) {
      const CudaPlan plan = batch_norm_plan::cuda_plan(p.rows, p.channels);
      launch(statistics_kernel<is_wide.value, T>, chunk_grid(plan), block_of(plan, kSumThreads), 0, exec, p, plan.chunk_rows,
             plan.chunks);
    });
  });
}

void apply_any(const BatchNormApplyArgs& p, CudaStream exec) {
  if (p.rows == 0 || p.channels == 0) return;
  const bool is_wide = wide(p.channels, {p.residual, p.y}) && wide_term(p.main) && wide_term(p.shortcut);
  with_element(p.dtype,
               [&](auto element) { with_width(is_wide, [&](auto w) { apply<w.value, decltype(element)>(p, exec); }); });
}

void backward_any(const BatchNormBackwardArgs& p, CudaStream exec) {
  if (p.channels == 0) return;
  if (p.rows == 0) {
    clear(p.d_main, p.channels, exec);
    return clear(p.d_shortcut, p.channels, exec);
  }
  const bool is_wide = wide(p.channels, {p.d_y, p.d_y_second, p.d_residual, p.d_main.d_x, p.d_shortcut.d_x, p.workspace}) &&
                       wide_term(p.main) && wide_term(p.shortcut);
  with_element(p.dtype,
               [&](auto element) { with_width(is_wide, [&](auto w) { backward<w.value, decltype(element)>(p, exec); }); });
}

}  // namespace
}  // namespace batch_norm

void batch_norm_statistics(const BatchNormStatisticsArgs& p, CudaStream exec) { batch_norm::statistics(p, exec); }
void batch_norm_apply(const BatchNormApplyArgs& p, CudaStream exec) { batch_norm::apply_any(p, exec); }
void batch_norm_backward(const BatchNormBackwardArgs& p, CudaStream exec) { batch_norm::backward_any(p, exec); }

}  // namespace swath::kernels
