// Batch normalisation on CUDA (methods.md §2): statistics in one launch, whose last block per channel group merges the partial
// sums in order, in double, and updates the running statistics; one pass applies; two passes go back.
#include "kernels/batch_norm_apply.cuh"
#include "kernels/batch_norm_backward.cuh"

namespace swath::kernels {
namespace batch_norm {
namespace {

/// The shift of a block's channels: the mean of its first rows. `first` is the thread's first row.
template <bool kWide, class T>
__device__ __forceinline__ Cell shift_of(const BatchNormStatisticsArgs& p, const Channels& at, const Raw<T>& first) {
  constexpr int kRows = batch_norm_plan::kShiftRows;
  __shared__ Table<kRows> table;
  const std::int64_t left = p.rows - static_cast<std::int64_t>(blockIdx.y) * blockDim.y;
  const int rows = static_cast<int>(left < kRows ? left : kRows);
  if (threadIdx.y < rows && at.valid > 0) {
    const Cell cell = unpack(first);
#pragma unroll
    for (int k = 0; k < kCell; ++k)
      table.at(static_cast<int>(threadIdx.y), static_cast<int>(threadIdx.x) * kCell + k) = cell.v[k];
  }
  __syncthreads();
  Cell shift{};
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (r >= rows) break;
    const Cell cell = table.cell(r);
#pragma unroll
    for (int k = 0; k < kCell; ++k) shift.v[k] += cell.v[k] / static_cast<float>(rows);
  }
  return shift;
}

/// How many rows each of a group's blocks took.
struct ChunkRows {
  std::int64_t each, rest, lines;

  __device__ explicit ChunkRows(std::int64_t rows) : lines(blockDim.y) {
    const std::int64_t round = gridDim.y * lines, rounds = rows / round;
    each = rounds * lines;
    rest = rows - rounds * round;
  }
  __device__ double operator()(std::int64_t chunk) const {
    const std::int64_t more = rest - chunk * lines;
    return static_cast<double>(each + (more < 0 ? 0 : more < lines ? more : lines));
  }
};

template <bool kWide, class T>
__global__ void __launch_bounds__(kSumThreads) statistics_kernel(BatchNormStatisticsArgs p) {
  const Channels at = channels_of_thread(p.channels);
  const T* x = static_cast<const T*>(p.x);
  float* partials = static_cast<float*>(p.workspace);
  float* own = partials + 3 * static_cast<std::int64_t>(blockIdx.y) * p.channels;
  float sums[2][kCell] = {};
  stream_rows<kWide ? kRowsUnderWay<1, T> : 1>(
      rows_of_thread(p.rows, at), [&](std::int64_t r) { return load_raw<kWide>(x + r * p.channels + at.begin, at.valid); },
      [&](const Raw<T>& first) {
        const Cell shift = shift_of<kWide>(p, at, first);
        if (threadIdx.y == 0) {
#pragma unroll
          for (int k = 0; k < kCell; ++k)
            if (k < at.valid) own[at.begin + k] = shift.v[k];
        }
        return shift;
      },
      [&](const Cell& shift, std::int64_t, const Raw<T>& row) {
        const Cell v = unpack(row);
#pragma unroll
        for (int k = 0; k < kCell; ++k) {
          const float d = v.v[k] - shift.v[k];
          sums[0][k] += d;
          sums[1][k] += d * d;
        }
      });
  store_sums<2>(sums, p.channels, own + p.channels);
  if (!last_of_group(p.counters)) return;
  const double n = static_cast<double>(p.rows), momentum = p.momentum;
  const ChunkRows count_of(p.rows);
  // Sums of x − pivot and its square, where the pivot is the shift of the first chunk.
  merge_chunks<3, 2>(
      p.channels, partials, [&](std::int64_t c) { return static_cast<double>(__ldcg(partials + c)); },
      [&](double pivot, std::int64_t chunk, const float* partial, double* totals) {
        const double count = count_of(chunk), sum = partial[1];
        const double offset = static_cast<double>(partial[0]) - pivot;
        totals[0] += sum + count * offset;
        totals[1] += partial[2] + offset * (2 * sum + count * offset);
      },
      [&](std::int64_t c, const double* totals) {
        const double mean = __ldcg(partials + c) + totals[0] / n, rest = totals[1] - totals[0] * totals[0] / n;
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

/// A row's cells as read.
template <class T>
struct ApplyRow {
  Raw<T> x, extra;
};

/// Rows come in the reverse order of the statistics' sweeps: the last ones are still in the cache.
template <bool kWide, class T, Extra kExtra>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks) apply_kernel(BatchNormApplyArgs p) {
  const Channels at = channels_of_thread(p.channels);
  const float floor = p.activation == Activation::relu ? 0.0f : -INFINITY;
  const std::int64_t mask_row = ceil_div(p.channels, kCell);
  stream_rows<kWide ? kRowsUnderWay<kExtra == Extra::none ? 1 : 2, T> : 1>(
      rows_of_thread(p.rows, at),
      [&](std::int64_t r) {
        const std::int64_t i = (p.rows - 1 - r) * p.channels + at.begin;
        ApplyRow<T> row;
        row.x = load_raw<kWide>(static_cast<const T*>(p.main.x) + i, at.valid);
        if constexpr (kExtra == Extra::residual) row.extra = load_raw<kWide>(static_cast<const T*>(p.residual) + i, at.valid);
        if constexpr (kExtra == Extra::shortcut) row.extra = load_raw<kWide>(static_cast<const T*>(p.shortcut.x) + i, at.valid);
        return row;
      },
      [&](const ApplyRow<T>&) { return apply_values<kExtra == Extra::shortcut>(p); },
      [&](const ApplyValues& of, std::int64_t reversed, const ApplyRow<T>& row) {
        const std::int64_t r = p.rows - 1 - reversed;
        Cell y = unpack(row.x), extra{};
        if constexpr (kExtra != Extra::none) extra = unpack(row.extra);
        unsigned bits = 0;
#pragma unroll
        for (int k = 0; k < kCell; ++k) {
          float v = normalise(y.v[k], of.mean.v[k], of.scale.v[k], of.beta.v[k]);
          if constexpr (kExtra == Extra::residual) v += extra.v[k];
          if constexpr (kExtra == Extra::shortcut) v += (extra.v[k] - of.shortcut_mean.v[k]) * of.shortcut_scale.v[k];
          v = v < floor ? floor : v;
          bits |= (v > 0 ? 1u : 0u) << k;
          y.v[k] = v;
        }
        store_raw<kWide>(static_cast<T*>(p.y) + r * p.channels + at.begin, pack<T>(y), at.valid);
        if (p.mask) p.mask[r * mask_row + at.begin / kCell] = static_cast<std::uint8_t>(bits & ((1u << at.valid) - 1));
      });
}

template <bool kWide, class T, Extra kExtra>
void apply_with(const BatchNormApplyArgs& p, CudaStream exec) {
  const CudaPlan plan = batch_norm_plan::cuda_plan(p.channels);
  launch(apply_kernel<kWide, T, kExtra>, map_grid(plan, p.rows), block_of(plan, kMapThreads), 0, exec, p);
}

template <bool kWide, class T>
void apply(const BatchNormApplyArgs& p, CudaStream exec) {
  if (p.shortcut.x) return apply_with<kWide, T, Extra::shortcut>(p, exec);
  if (p.residual) return apply_with<kWide, T, Extra::residual>(p, exec);
  apply_with<kWide, T, Extra::none>(p, exec);
}

/// The incoming gradient as one or two tensors, and ReLU's mask as bits.
template <class T, Mask kMask>
struct Elements {
  static constexpr int kTensors = 1;
  struct Row {
    Raw<T> first, second;
    unsigned bits;
  };
  const T *first, *second;  // second may be null
  const std::uint8_t* mask;
  std::int64_t mask_row;

  template <bool kWide>
  __device__ __forceinline__ Row read(std::int64_t row, std::int64_t i, const Channels& at) const {
    Row out;
    out.first = load_raw<kWide>(first + i, at.valid);
    if (second) out.second = load_raw<kWide>(second + i, at.valid);
    if constexpr (kMask == Mask::bits) out.bits = mask[row * mask_row + at.begin / kCell];
    return out;
  }
  __device__ __forceinline__ Cell gradient(const Row& row) const {
    Cell g = unpack(row.first);
    if (second) {
      const Cell more = unpack(row.second);
#pragma unroll
      for (int k = 0; k < kCell; ++k) g.v[k] += more.v[k];
      g = unpack(pack<T>(g));
    }
    if constexpr (kMask == Mask::bits) {
#pragma unroll
      for (int k = 0; k < kCell; ++k) g.v[k] = row.bits >> k & 1u ? g.v[k] : 0.0f;
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
      const CudaPlan plan = batch_norm_plan::cuda_plan(p.channels);
      launch(statistics_kernel<is_wide.value, T>, sum_grid(plan, p.rows), block_of(plan, kSumThreads), 0, exec, p);
    });
  });
}

void apply_any(const BatchNormApplyArgs& p, CudaStream exec) {
  if (p.rows == 0 || p.channels == 0) return;
  const bool is_wide = wide(p.channels, {p.main.x, p.shortcut.x, p.residual, p.y});
  with_element(p.dtype,
               [&](auto element) { with_width(is_wide, [&](auto w) { apply<w.value, decltype(element)>(p, exec); }); });
}

void backward_any(const BatchNormBackwardArgs& p, CudaStream exec) {
  if (p.channels == 0) return;
  if (p.rows == 0) {
    clear(p.d_main, p.channels, exec);
    return clear(p.d_shortcut, p.channels, exec);
  }
  const bool is_wide =
      wide(p.channels, {p.main.x, p.shortcut.x, p.d_y, p.d_y_second, p.d_residual, p.d_main.d_x, p.d_shortcut.d_x});
  with_element(p.dtype,
               [&](auto element) { with_width(is_wide, [&](auto w) { backward<w.value, decltype(element)>(p, exec); }); });
}

}  // namespace
}  // namespace batch_norm

void batch_norm_statistics(const BatchNormStatisticsArgs& p, CudaStream exec) { batch_norm::statistics(p, exec); }
void batch_norm_apply(const BatchNormApplyArgs& p, CudaStream exec) { batch_norm::apply_any(p, exec); }
void batch_norm_backward(const BatchNormBackwardArgs& p, CudaStream exec) { batch_norm::backward_any(p, exec); }

}  // namespace swath::kernels
