// Max pooling and global average pooling on the CPU (methods.md §2): channels are the inner, vectorised loop.
#include "kernels/pool.h"

#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kColumns = 64;  // channels kept in registers or the first cache at a time

/// The rows (or columns) of a window that lie inside the image, as positions within the window.
struct Taps {
  std::int64_t begin, end;
};
Taps taps_inside(std::int64_t start, std::int64_t window, std::int64_t size) {
  return {std::max<std::int64_t>(0, -start), std::min(window, size - start)};
}

template <class T>
void pool_pixel(const MaxPoolArgs& p, const T* image, std::int64_t top, std::int64_t left, T* y, std::uint8_t* index) {
  const Taps rows = taps_inside(top, p.window, p.height), columns = taps_inside(left, p.window, p.width);
  for (std::int64_t begin = 0; begin < p.channels; begin += kColumns) {
    const std::int64_t size = std::min(kColumns, p.channels - begin);
    float best[kColumns];
    std::int32_t winner[kColumns];
    bool first = true;
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      for (std::int64_t s = columns.begin; s < columns.end; ++s) {
        const T* x = image + ((top + r) * p.width + left + s) * p.channels + begin;
        const std::int32_t tap = static_cast<std::int32_t>(r * p.window + s);
        if (first) {
#pragma omp simd
          for (std::int64_t c = 0; c < size; ++c) {
            best[c] = to_float(x[c]);
            winner[c] = tap;
          }
          first = false;
          continue;
        }
#pragma omp simd
        for (std::int64_t c = 0; c < size; ++c) {
          const float v = to_float(x[c]);
          const bool take = (v > best[c]) | ((v != v) & (best[c] == best[c]));
          best[c] = take ? v : best[c];
          winner[c] = take ? tap : winner[c];
        }
      }
    }
#pragma omp simd
    for (std::int64_t c = 0; c < size; ++c) y[begin + c] = from_float<T>(best[c]);
    if (!index) continue;
#pragma omp simd
    for (std::int64_t c = 0; c < size; ++c) index[begin + c] = static_cast<std::uint8_t>(winner[c]);
  }
}

/// First and one past the last window that covers a position.
struct Windows {
  std::int64_t begin, end;
};
Windows windows_over(std::int64_t position, std::int64_t window, std::int64_t stride, std::int64_t pad, std::int64_t count) {
  const std::int64_t last = (position + pad) / stride;
  const std::int64_t below = position + pad - window + 1;
  return {below <= 0 ? 0 : (below + stride - 1) / stride, std::min(last + 1, count)};
}

template <class T>
void unpool_pixel(const MaxPoolBackwardArgs& p, std::int64_t image, std::int64_t row, std::int64_t column, T* d_x) {
  const std::int64_t out_width = p.out_width(), out_height = p.out_height();
  const Windows rows = windows_over(row, p.window, p.stride, p.pad, out_height);
  const Windows columns = windows_over(column, p.window, p.stride, p.pad, out_width);
  for (std::int64_t begin = 0; begin < p.channels; begin += kColumns) {
    const std::int64_t size = std::min(kColumns, p.channels - begin);
    float sum[kColumns] = {};
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      for (std::int64_t s = columns.begin; s < columns.end; ++s) {
        const std::int64_t at = ((image * out_height + r) * out_width + s) * p.channels + begin;
        const T* d_y = typed<T>(p.d_y) + at;
        const std::uint8_t* index = p.index + at;
        const std::int32_t tap =
            static_cast<std::int32_t>((row + p.pad - r * p.stride) * p.window + column + p.pad - s * p.stride);
#pragma omp simd
        for (std::int64_t c = 0; c < size; ++c) sum[c] += index[c] == tap ? to_float(d_y[c]) : 0.0f;
      }
    }
#pragma omp simd
    for (std::int64_t c = 0; c < size; ++c) d_x[begin + c] = from_float<T>(sum[c]);
  }
}

}  // namespace

void max_pool(const MaxPoolArgs& p, Cpu) {
  if (p.n * p.channels == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const std::int64_t out_height = p.out_height(), out_width = p.out_width();
    parallel_for(p.n * out_height, [&](std::int64_t i) {
      const T* image = typed<T>(p.x) + i / out_height * p.height * p.width * p.channels;
      for (std::int64_t j = 0; j < out_width; ++j) {
        const std::int64_t at = (i * out_width + j) * p.channels;
        pool_pixel(p, image, i % out_height * p.stride - p.pad, j * p.stride - p.pad, typed<T>(p.y) + at,
                   p.index ? p.index + at : nullptr);
      }
    });
  });
}

void max_pool_backward(const MaxPoolBackwardArgs& p, Cpu) {
  if (p.n * p.channels == 0) return;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    parallel_for(p.n * p.height, [&](std::int64_t i) {
      for (std::int64_t j = 0; j < p.width; ++j)
        unpool_pixel(p, i / p.height, i % p.height, j, typed<T>(p.d_x) + (i * p.width + j) * p.channels);
    });
  });
}

void average_pool(const AveragePoolArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    parallel_for(p.n, [&](std::int64_t i) {
      for (std::int64_t begin = 0; begin < p.channels; begin += kColumns) {
        const std::int64_t size = std::min(kColumns, p.channels - begin);
        double sum[kColumns] = {};
        for (std::int64_t k = 0; k < p.positions; ++k) {
          const T* x = typed<T>(p.x) + (i * p.positions + k) * p.channels + begin;
#pragma omp simd
          for (std::int64_t c = 0; c < size; ++c) sum[c] += static_cast<double>(to_float(x[c]));
        }
        for (std::int64_t c = 0; c < size; ++c)
          p.y[i * p.channels + begin + c] = static_cast<float>(sum[c] / static_cast<double>(p.positions));
      }
    });
  });
}

void average_pool_backward(const AveragePoolBackwardArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    const float share = 1.0f / static_cast<float>(p.positions);
    parallel_for(p.n * p.positions, [&](std::int64_t i) {
      const float* d_y = p.d_y + i / p.positions * p.channels;
      T* d_x = typed<T>(p.d_x) + i * p.channels;
#pragma omp simd
      for (std::int64_t c = 0; c < p.channels; ++c) d_x[c] = from_float<T>(d_y[c] * share);
    });
  });
}

}  // namespace swath::kernels
