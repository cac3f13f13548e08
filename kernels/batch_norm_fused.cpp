// Batch normalisation around convolutions on the CPU (methods.md §2).
#include "kernels/batch_norm_fused_terms.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kChunkRows = 64;

template <class T>
void input(const BatchNormInputArgs& p) {
  parallel_chunks(p.rows, kChunkRows, [&](std::int64_t first, std::int64_t last) {
    const T* d_y = typed<T>(p.d_y);
    for (std::int64_t c = 0; c < p.channels; ++c) {
      const InputCoefficients main = input_coefficients(p.main, p.rows, p.channels, c);
      const InputCoefficients other =
          p.shortcut.term.x ? input_coefficients(p.shortcut, p.rows, p.channels, c) : InputCoefficients{};
      for (std::int64_t r = first; r < last; ++r) {
        const std::int64_t i = r * p.channels + c;
        const float g = to_float(d_y[i]);
        const auto of = [&](const NormInput& term, const InputCoefficients& k) {
          const float x = to_float(typed<T>(term.term.x)[i]);
          typed<T>(term.gradient.d_x)[i] = from_float<T>(k.slope * ((g - k.constant) - (x - k.mean) * k.linear));
        };
        of(p.main, main);
        if (p.shortcut.term.x) of(p.shortcut, other);
      }
    }
  });
}

}  // namespace

void batch_norm_finish(const BatchNormFinishArgs& p, Cpu) {
  for (std::int64_t c = 0; c < p.channels; ++c) finish_channel(p, c);
}

void batch_norm_affine(const BatchNormAffineArgs& p, Cpu) {
  for (std::int64_t c = 0; c < p.channels; ++c) affine_channel(p, c);
}

void batch_norm_input(const BatchNormInputArgs& p, Cpu) {
  for (std::int64_t c = 0; c < p.channels; ++c) {
    store_parameter_gradients(p.main, p.channels, c);
    if (p.shortcut.term.x) store_parameter_gradients(p.shortcut, p.channels, c);
  }
  with_element(p.dtype, [&](auto element) { input<decltype(element)>(p); });
}

}  // namespace swath::kernels
