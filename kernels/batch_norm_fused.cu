// Batch normalisation around convolutions on CUDA (methods.md §2): a thread per channel finishes the statistics; the gradient
// of what was normalised streams as in batch_norm.cu.
#include "kernels/batch_norm.cuh"
#include "kernels/batch_norm_fused_terms.h"

namespace swath::kernels {
namespace batch_norm {
namespace {

constexpr int kFinishThreads = 128;

__global__ void __launch_bounds__(kFinishThreads) finish_kernel(BatchNormFinishArgs p) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kFinishThreads + threadIdx.x;
  if (c < p.channels) finish_channel(p, c);
}

__global__ void __launch_bounds__(kFinishThreads) affine_kernel(BatchNormAffineArgs p) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kFinishThreads + threadIdx.x;
  if (c < p.channels) affine_channel(p, c);
}

unsigned finish_blocks(std::int64_t channels) { return static_cast<unsigned>(ceil_div(channels, kFinishThreads)); }

template <class T>
struct InputRow {
  Raw<T> g, x, other;
};

/// Per-channel values of a term.
struct TermValues {
  Cell mean, slope, linear, constant;
};

template <int kTerms>
struct InputValues {
  TermValues term[kTerms];
};

/// The first block of a channel group writes the parameters' gradients.
template <int kTerms>
__device__ __forceinline__ InputValues<kTerms> input_values(const BatchNormInputArgs& p) {
  __shared__ Table<4 * kTerms> table;
  const auto fill = [&](const NormInput& of, int first, std::int64_t c, int column) {
    const InputCoefficients k = input_coefficients(of, p.rows, p.channels, c);
    table.at(first, column) = k.mean, table.at(first + 1, column) = k.slope;
    table.at(first + 2, column) = k.linear, table.at(first + 3, column) = k.constant;
    if (blockIdx.y == 0) store_parameter_gradients(of, p.channels, c);
  };
  for_channels(p.channels, [&](std::int64_t c, int column) {
    fill(p.main, 0, c, column);
    if constexpr (kTerms == 2) fill(p.shortcut, 4, c, column);
  });
  InputValues<kTerms> values;
#pragma unroll
  for (int t = 0; t < kTerms; ++t)
    values.term[t] = {table.cell(4 * t), table.cell(4 * t + 1), table.cell(4 * t + 2), table.cell(4 * t + 3)};
  return values;
}

__device__ __forceinline__ Cell input_gradient(const Cell& g, const Cell& x, const TermValues& of) {
  Cell out;
#pragma unroll
  for (int k = 0; k < kCell; ++k)
    out.v[k] = of.slope.v[k] * ((g.v[k] - of.constant.v[k]) - (x.v[k] - of.mean.v[k]) * of.linear.v[k]);
  return out;
}

template <bool kWide, class T, int kTerms>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks) input_kernel(BatchNormInputArgs p) {
  const Channels at = channels_of_thread(p.channels);
  stream_rows<kWide ? kRowsUnderWay<1 + kTerms, T> : 1>(
      rows_of_thread(p.rows, at),
      [&](std::int64_t r) {
        const std::int64_t i = r * p.channels + at.begin;
        InputRow<T> row;
        row.g = load_raw<kWide>(static_cast<const T*>(p.d_y) + i, at.valid);
        row.x = load_raw<kWide>(static_cast<const T*>(p.main.term.x) + i, at.valid);
        if constexpr (kTerms == 2) row.other = load_raw<kWide>(static_cast<const T*>(p.shortcut.term.x) + i, at.valid);
        return row;
      },
      [&](const InputRow<T>&) { return input_values<kTerms>(p); },
      [&](const InputValues<kTerms>& of, std::int64_t r, const InputRow<T>& row) {
        const std::int64_t i = r * p.channels + at.begin;
        const Cell g = unpack(row.g);
        store_raw<kWide>(static_cast<T*>(p.main.gradient.d_x) + i, pack<T>(input_gradient(g, unpack(row.x), of.term[0])),
                         at.valid);
        if constexpr (kTerms == 2)
          store_raw<kWide>(static_cast<T*>(p.shortcut.gradient.d_x) + i,
                           pack<T>(input_gradient(g, unpack(row.other), of.term[1])), at.valid);
      });
}

template <bool kWide, class T>
void input(const BatchNormInputArgs& p, CudaStream exec) {
  const CudaPlan plan = batch_norm_plan::cuda_plan(p.channels);
  const auto run = [&](auto* kernel) { launch(kernel, map_grid(plan, p.rows), block_of(plan, kMapThreads), 0, exec, p); };
  if (p.shortcut.term.x) return run(input_kernel<kWide, T, 2>);
  run(input_kernel<kWide, T, 1>);
}

}  // namespace
}  // namespace batch_norm

void batch_norm_finish(const BatchNormFinishArgs& p, CudaStream exec) {
  if (p.channels == 0) return;
  launch(batch_norm::finish_kernel, batch_norm::finish_blocks(p.channels), batch_norm::kFinishThreads, 0, exec, p);
}

void batch_norm_affine(const BatchNormAffineArgs& p, CudaStream exec) {
  if (p.channels == 0) return;
  launch(batch_norm::affine_kernel, batch_norm::finish_blocks(p.channels), batch_norm::kFinishThreads, 0, exec, p);
}

void batch_norm_input(const BatchNormInputArgs& p, CudaStream exec) {
  if (p.channels == 0) return;
  if (p.rows == 0) {
    batch_norm::clear(p.main.gradient, p.channels, exec);
    return batch_norm::clear(p.shortcut.gradient, p.channels, exec);
  }
  const NormInput &main = p.main, &other = p.shortcut;
  const bool wide = batch_norm::wide(p.channels, {p.d_y, main.term.x, main.gradient.d_x, other.term.x, other.gradient.d_x});
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    if (wide) return batch_norm::input<true, T>(p, exec);
    batch_norm::input<false, T>(p, exec);
  });
}

}  // namespace swath::kernels
