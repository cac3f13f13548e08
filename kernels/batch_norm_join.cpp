// Batch normalisation over slices on the CPU (methods.md §2).
#include "kernels/batch_norm_join.h"

#include "kernels/batch_norm_join_terms.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kColumns = 64;  // channels whose coefficients are kept at a time
constexpr std::int64_t kChunkRows = 256;

template <class T>
void correct(const BatchNormJoinBackwardArgs& p, std::int64_t first, std::int64_t last) {
  float mean[kColumns], constant[kColumns], linear[kColumns];
  for (std::int64_t begin = 0; begin < p.channels; begin += kColumns) {
    const std::int64_t size = std::min(kColumns, p.channels - begin);
    for (std::int64_t i = 0; i < size; ++i) {
      const JoinCorrection of = join_correction(p, begin + i);
      mean[i] = of.mean, constant[i] = of.constant, linear[i] = of.linear;
    }
    for (std::int64_t r = first; r < last; ++r) {
      const T* x = typed<T>(p.main.x) + r * p.channels + begin;
      T* d_x = typed<T>(p.d_x) + r * p.channels + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < size; ++i)
        d_x[i] = from_float<T>(to_float(d_x[i]) + (constant[i] + (to_float(x[i]) - mean[i]) * linear[i]));
    }
  }
}

}  // namespace

void batch_norm_join(const BatchNormJoinArgs& p, Cpu) {
  const RowSlices slices = row_slices(p.images, p.slices);
  for (std::int64_t c = 0; c < p.channels; ++c) join_channel(p, slices, c);
}

void batch_norm_join_backward(const BatchNormJoinBackwardArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    parallel_chunks(p.rows, kChunkRows,
                    [&](std::int64_t first, std::int64_t last) { correct<decltype(element)>(p, first, last); });
  });
}

}  // namespace swath::kernels
