// Augmentation on CUDA (methods.md §1). One block per image and group of channels: exact integer sums over the crop, then the
// crop is written from the cache. Integer sums do not depend on the order of the atomics.
#include "kernels/augment.h"
#include "kernels/augment_draw.h"
#include "kernels/dispatch.h"
#include "kernels/launch.cuh"

namespace swath::kernels {
namespace {

constexpr int kThreads = 512, kGroup = 256;

template <class Source, class Out>
__global__ void __launch_bounds__(kThreads) augment_kernel(AugmentArgs p) {
  __shared__ unsigned long long sums[kGroup], squares[kGroup];
  __shared__ Standard standard[kGroup];
  __shared__ CropMap map;
  const int begin = static_cast<int>(blockIdx.y) * kGroup;
  const int group = min(kGroup, static_cast<int>(p.channels) - begin), t = static_cast<int>(threadIdx.x);
  const std::int64_t row = blockIdx.x;
  for (int c = t; c < group; c += kThreads) sums[c] = squares[c] = 0;
  if (t == 0) map = crop_map(p, row);
  __syncthreads();
  const CropMap m = map;
  const int pixels = m.height * m.width, crop_width = static_cast<int>(p.crop_width), per_pass = kThreads / group;
  const int lane = t % group, channel = begin + lane, first = t / group;
  const std::int64_t image = p.source_row ? p.source_row[row] : row;
  const Source* from = static_cast<const Source*>(p.images) + image * p.height * p.width * p.channels + channel;
  Out* out = static_cast<Out*>(p.out) + row * pixels * p.out_channels;
  if (first < per_pass) {
    unsigned long long sum = 0, square = 0;
    for (int i = first; i < pixels; i += per_pass) {
      const unsigned v = from[(static_cast<std::int64_t>(m.top + i / m.width) * p.width + m.left + i % m.width) * p.channels];
      sum += v;
      square += v * v;
    }
    atomicAdd(&sums[lane], sum);
    atomicAdd(&squares[lane], square);
  }
  __syncthreads();
  for (int c = t; c < group; c += kThreads)
    standard[c] = standard_of(sums[c], squares[c], static_cast<std::uint64_t>(pixels), augment_eps(p.source_type));
  __syncthreads();
  if (first < per_pass) {
    const Standard s = standard[lane];
    for (int i = first; i < pixels; i += per_pass) {
      const int y = i / crop_width, x = i % crop_width;
      const int source_row = m.row0 + m.row_y * y + m.row_x * x, source_column = m.column0 + m.column_y * y + m.column_x * x;
      const int v = from[(static_cast<std::int64_t>(source_row) * p.width + source_column) * p.channels];
      out[i * p.out_channels + channel] = from_float<Out>(standardised(v, s));
    }
  }
  if (blockIdx.y != 0) return;
  const int extra = static_cast<int>(p.out_channels - p.channels);
  for (std::int64_t i = t; i < static_cast<std::int64_t>(pixels) * extra; i += kThreads)
    out[i / extra * p.out_channels + p.channels + i % extra] = from_float<Out>(0.0f);
}

}  // namespace

void augment(const AugmentArgs& p, CudaStream exec) {
  if (p.rows == 0 || p.channels == 0) return;
  if (p.source_type != DType::u8 && p.source_type != DType::u16) throw std::invalid_argument("augment takes u8 or u16 images");
  with_element(p.out_type, [&](auto element) {
    using Out = decltype(element);
    const dim3 grid(static_cast<unsigned>(p.rows), static_cast<unsigned>(ceil_div(p.channels, kGroup)));
    const auto kernel = p.source_type == DType::u8 ? augment_kernel<std::uint8_t, Out> : augment_kernel<std::uint16_t, Out>;
    launch(kernel, grid, kThreads, 0, exec, p);
  });
}

}  // namespace swath::kernels
