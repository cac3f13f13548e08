// Batch normalisation with ReLU and max pooling on the CPU (methods.md §2): channels are the inner, vectorised loop; a task is
// a row of pixels of one image, or of the pooled one.
#include "kernels/batch_norm_pool.h"

#include <cmath>

#include "kernels/batch_norm_plan.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kColumns = 64;  // channels kept in registers or the first cache at a time

float normalise(float x, float mean, float scale, float beta) { return (x - mean) * scale + beta; }

/// First and one past the last.
struct Range {
  std::int64_t begin, end;
};
/// The rows (or columns) of a window that lie inside the image, as positions within the window.
Range taps_inside(std::int64_t start, std::int64_t window, std::int64_t size) {
  return {std::max<std::int64_t>(0, -start), std::min(window, size - start)};
}
/// The windows that cover a row (or column).
Range windows_over(const PoolGeometry& g, std::int64_t position, std::int64_t count) {
  const std::int64_t last = (position + g.pad) / g.stride, below = position + g.pad - g.window + 1;
  return {below <= 0 ? 0 : (below + g.stride - 1) / g.stride, std::min(last + 1, count)};
}

/// The normalisation of up to kColumns channels.
struct Columns {
  std::int64_t begin, size;
  float mean[kColumns], scale[kColumns], beta[kColumns];

  Columns(const NormTerm& t, Spread spread, float eps, std::int64_t from, std::int64_t channels)
      : begin(from), size(std::min(kColumns, channels - from)) {
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t c = begin + i;
      mean[i] = t.mean[c];
      beta[i] = t.beta[c];
      scale[i] = spread == Spread::variance ? t.gamma[c] / std::sqrt(t.spread[c] + eps) : t.gamma[c] * t.spread[c];
    }
  }
};

template <class T>
void pool_pixel(const BatchNormPoolArgs& p, const Columns& columns, const T* image, std::int64_t row, std::int64_t column,
                std::int64_t to) {
  const PoolGeometry& g = p.geometry;
  const std::int64_t top = row * g.stride - g.pad, left = column * g.stride - g.pad;
  const Range rows = taps_inside(top, g.window, g.height), across = taps_inside(left, g.window, g.width);
  float best[kColumns];
  std::int32_t winner[kColumns];
  bool first = true;
  for (std::int64_t r = rows.begin; r < rows.end; ++r) {
    for (std::int64_t s = across.begin; s < across.end; ++s) {
      const T* x = image + ((top + r) * g.width + left + s) * g.channels + columns.begin;
      const std::int32_t tap = static_cast<std::int32_t>(r * g.window + s);
#pragma omp simd
      for (std::int64_t c = 0; c < columns.size; ++c) {
        const float v = normalise(to_float(x[c]), columns.mean[c], columns.scale[c], columns.beta[c]);
        const bool take = first | (v > best[c]) | ((v != v) & (best[c] == best[c]));
        best[c] = take ? v : best[c];
        winner[c] = take ? tap : winner[c];
      }
      first = false;
    }
  }
  to += columns.begin;
  if (T* raw = typed<T>(p.winner)) {
    for (std::int64_t c = 0; c < columns.size; ++c) {
      const std::int64_t r = winner[c] / g.window, s = winner[c] % g.window;
      raw[to + c] = image[((top + r) * g.width + left + s) * g.channels + columns.begin + c];
    }
  } else {
    T* y = typed<T>(p.y) + to;
#pragma omp simd
    for (std::int64_t c = 0; c < columns.size; ++c) y[c] = from_float<T>(best[c] < 0 ? 0.0f : best[c]);
  }
  if (!p.index) return;
  std::uint8_t* index = p.index + to;
#pragma omp simd
  for (std::int64_t c = 0; c < columns.size; ++c) index[c] = static_cast<std::uint8_t>(winner[c]);
}

template <class T>
void pool(const BatchNormPoolArgs& p) {
  const PoolGeometry& g = p.geometry;
  const std::int64_t out_height = g.out_height(), out_width = g.out_width();
  parallel_for(g.n * out_height, [&](std::int64_t task) {
    const T* image = typed<T>(p.main.x) + task / out_height * g.height * g.width * g.channels;
    for (std::int64_t begin = 0; begin < g.channels; begin += kColumns) {
      const Columns columns(p.main, p.spread, p.eps, begin, g.channels);
      for (std::int64_t j = 0; j < out_width; ++j) {
        pool_pixel<T>(p, columns, image, task % out_height, j, (task * out_width + j) * g.channels);
      }
    }
  });
}

/// The gradient of one pixel's columns: the sum over the windows whose maximum it was, where ReLU let it through.
template <class T>
void gather(const BatchNormPoolBackwardArgs& p, const Columns& columns, std::int64_t task, std::int64_t column, const T* x,
            float* sum) {
  const PoolGeometry& g = p.geometry;
  const std::int64_t image = task / g.height, row = task % g.height, out_height = g.out_height(), out_width = g.out_width();
  const Range down = windows_over(g, row, out_height), across = windows_over(g, column, out_width);
  std::fill(sum, sum + columns.size, 0.0f);
  for (std::int64_t r = down.begin; r < down.end; ++r) {
    for (std::int64_t s = across.begin; s < across.end; ++s) {
      const std::int64_t at = ((image * out_height + r) * out_width + s) * g.channels + columns.begin;
      const T *first = typed<T>(p.d_y) + at, *second = typed<T>(p.d_y_second ? p.d_y_second : p.d_y) + at;
      const std::uint8_t* index = p.index + at;
      const float share = p.d_y_second ? 1.0f : 0.0f;
      const int tap = static_cast<int>((row + g.pad - r * g.stride) * g.window + column + g.pad - s * g.stride);
#pragma omp simd
      for (std::int64_t c = 0; c < columns.size; ++c) {
        const float d = to_float(first[c]) + share * to_float(second[c]);
        sum[c] += index[c] == tap ? d : 0.0f;
      }
    }
  }
#pragma omp simd
  for (std::int64_t c = 0; c < columns.size; ++c)
    sum[c] = normalise(to_float(x[c]), columns.mean[c], columns.scale[c], columns.beta[c]) > 0 ? sum[c] : 0.0f;
}

/// Rows of pixels whose sums make one partial result.
constexpr std::int64_t kPartialRows = 4;
std::int64_t partial_count(const PoolGeometry& g) { return (g.n * g.height + kPartialRows - 1) / kPartialRows; }

template <class T>
void reduce(const BatchNormPoolBackwardArgs& p, float* partial) {
  const PoolGeometry& g = p.geometry;
  parallel_chunks(g.n * g.height, kPartialRows, [&](std::int64_t first, std::int64_t last) {
    float* sums = partial + first / kPartialRows * 2 * g.channels;
    for (std::int64_t begin = 0; begin < g.channels; begin += kColumns) {
      const Columns columns(p.main, Spread::inverse_deviation, 0, begin, g.channels);
      float total[kColumns] = {}, product[kColumns] = {}, d[kColumns];
      for (std::int64_t task = first; task < last; ++task) {
        for (std::int64_t j = 0; j < g.width; ++j) {
          const T* x = typed<T>(p.main.x) + (task * g.width + j) * g.channels + begin;
          gather(p, columns, task, j, x, d);
#pragma omp simd
          for (std::int64_t c = 0; c < columns.size; ++c) {
            total[c] += d[c];
            product[c] += d[c] * (to_float(x[c]) - columns.mean[c]);
          }
        }
      }
      std::copy(total, total + columns.size, sums + begin);
      std::copy(product, product + columns.size, sums + g.channels + begin);
    }
  });
}

/// d_x = slope · ((g − constant) − (x − μ) · linear), per channel.
struct Coefficients {
  float *slope, *linear, *constant;
};

void finish(const BatchNormPoolBackwardArgs& p, const float* partial, const Coefficients& out) {
  const PoolGeometry& g = p.geometry;
  const std::int64_t chunks = p.sums ? 0 : partial_count(g);
  const double n = static_cast<double>(std::max<std::int64_t>(g.rows(), 1));
  parallel_for(g.channels, [&](std::int64_t c) {
    double sum = 0, product = 0;
    const double invstd = static_cast<double>(p.main.spread[c]);
    if (p.sums) {
      product = static_cast<double>(p.sums[c]) / invstd;
      sum = static_cast<double>(p.sums[g.channels + c]);
    }
    for (std::int64_t k = 0; k < chunks; ++k) {
      sum += static_cast<double>(partial[2 * k * g.channels + c]);
      product += static_cast<double>(partial[(2 * k + 1) * g.channels + c]);
    }
    out.slope[c] = p.main.gamma[c] * p.main.spread[c];
    out.linear[c] = static_cast<float>(product * invstd * invstd / n);
    out.constant[c] = static_cast<float>(sum / n);
    if (p.d_main.mode == GradMode::skip) return;
    const bool add = p.d_main.mode == GradMode::accumulate;
    p.d_main.d_gamma[c] = (add ? p.d_main.d_gamma[c] : 0.0f) + static_cast<float>(product * invstd);
    p.d_main.d_beta[c] = (add ? p.d_main.d_beta[c] : 0.0f) + static_cast<float>(sum);
  });
}

template <class T>
void input_gradient(const BatchNormPoolBackwardArgs& p, const Coefficients& from) {
  const PoolGeometry& g = p.geometry;
  parallel_for(g.n * g.height, [&](std::int64_t task) {
    for (std::int64_t begin = 0; begin < g.channels; begin += kColumns) {
      const Columns columns(p.main, Spread::inverse_deviation, 0, begin, g.channels);
      const float *slope = from.slope + begin, *linear = from.linear + begin, *constant = from.constant + begin;
      float d[kColumns];
      for (std::int64_t j = 0; j < g.width; ++j) {
        const std::int64_t at = (task * g.width + j) * g.channels + begin;
        const T* x = typed<T>(p.main.x) + at;
        T* d_x = typed<T>(p.d_main.d_x) + at;
        gather(p, columns, task, j, x, d);
#pragma omp simd
        for (std::int64_t c = 0; c < columns.size; ++c)
          d_x[c] = from_float<T>(slope[c] * ((d[c] - constant[c]) - (to_float(x[c]) - columns.mean[c]) * linear[c]));
      }
    }
  });
}

}  // namespace

void batch_norm_pool(const BatchNormPoolArgs& p, Cpu) {
  with_element(p.dtype, [&](auto element) { pool<decltype(element)>(p); });
}

void batch_norm_pool_backward(const BatchNormPoolBackwardArgs& p, Cpu) {
  const std::int64_t channels = p.geometry.channels;
  float* workspace = static_cast<float*>(p.workspace);
  const Coefficients coefficients{workspace, workspace + channels, workspace + 2 * channels};
  float* partial = workspace + batch_norm_plan::kCoefficients * channels;
  with_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    if (!p.sums) reduce<T>(p, partial);
    finish(p, partial, coefficients);
    if (p.d_main.d_x) input_gradient<T>(p, coefficients);
  });
}

std::size_t batch_norm_pool_workspace(const PoolGeometry& g) {
  const std::int64_t floats = (2 * partial_count(g) + batch_norm_plan::kCoefficients) * g.channels;
  return std::max(batch_norm_workspace(g.rows(), g.channels), static_cast<std::size_t>(floats) * sizeof(float));
}

}  // namespace swath::kernels
