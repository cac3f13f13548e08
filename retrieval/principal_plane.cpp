#include "retrieval/principal_plane.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/parallel.h"
#include "kernels/philox.h"

namespace swath {
namespace {

constexpr std::int64_t kSample = 4096;
constexpr std::int64_t kChunk = 64;
constexpr int kSteps = 60;

using Vector = std::vector<double>;
using Axes2 = std::array<Vector, 2>;

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t c = 0; c < a.size(); ++c) sum += a[c] * b[c];
  return sum;
}

/// Gram–Schmidt; an axis in which nothing varies stays zero.
void orthonormalise(Axes2& axes) {
  const double overlap = dot(axes[0], axes[0]) > 0 ? dot(axes[0], axes[1]) / dot(axes[0], axes[0]) : 0;
  for (std::size_t c = 0; c < axes[0].size(); ++c) axes[1][c] -= overlap * axes[0][c];
  for (Vector& axis : axes) {
    const double norm = std::sqrt(dot(axis, axis));
    for (double& value : axis) value = norm > 0 ? value / norm : 0;
  }
}

Point2 along(const float* row, const Vector& mean, const Axes2& axes) {
  Point2 at;
  for (std::size_t c = 0; c < mean.size(); ++c) {
    const double centred = row[c] - mean[c];
    at = {at.x + centred * axes[0][c], at.y + centred * axes[1][c]};
  }
  return at;
}

/// The covariance times the axes, summed in chunks of fixed rows.
Axes2 covariance_times(EmbeddingView sample, const Vector& mean, const Axes2& axes) {
  const std::int64_t chunks = (sample.rows + kChunk - 1) / kChunk;
  std::vector<Axes2> parts(chunks);
  kernels::parallel_for(chunks, [&](std::int64_t chunk) {
    Axes2& part = parts[chunk];
    for (Vector& axis : part) axis.assign(mean.size(), 0);
    for (std::int64_t i = chunk * kChunk; i < std::min(sample.rows, (chunk + 1) * kChunk); ++i) {
      const Point2 at = along(sample.row(i), mean, axes);
      for (std::size_t c = 0; c < mean.size(); ++c) {
        const double centred = sample.row(i)[c] - mean[c];
        part[0][c] += at.x * centred;
        part[1][c] += at.y * centred;
      }
    }
  });
  for (std::int64_t chunk = 1; chunk < chunks; ++chunk)
    for (int a = 0; a < 2; ++a)
      for (std::size_t c = 0; c < mean.size(); ++c) parts[0][a][c] += parts[chunk][a][c];
  return parts[0];
}

void fix_sign(Vector& axis) {
  const auto largest = std::max_element(axis.begin(), axis.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
  if (*largest < 0)
    for (double& value : axis) value = -value;
}

}  // namespace

std::vector<Point2> principal_plane(EmbeddingView rows, std::uint64_t seed) {
  const std::int64_t count = std::min(rows.rows, kSample), dim = rows.dim;
  std::vector<float> copy(count * dim);
  Vector mean(dim);
  for (std::int64_t i = 0; i < count; ++i) {
    const float* row = rows.row(i * rows.rows / count);
    std::copy(row, row + dim, copy.begin() + i * dim);
    for (std::int64_t c = 0; c < dim; ++c) mean[c] += row[c] / static_cast<double>(count);
  }
  Axes2 axes;
  for (int a = 0; a < 2; ++a) {
    for (std::int64_t c = 0; c < dim; ++c) {
      const kernels::Philox4 bits =
          kernels::philox(seed, 1, kernels::RandomStream::tsne, static_cast<std::uint64_t>(c), static_cast<std::uint32_t>(a));
      axes[a].push_back(kernels::uniform01(bits.v[0]) - 0.5);
    }
  }
  orthonormalise(axes);
  for (int step = 0; step < kSteps; ++step) {
    axes = covariance_times({copy.data(), count, dim}, mean, axes);
    orthonormalise(axes);
  }
  for (Vector& axis : axes) fix_sign(axis);
  std::vector<Point2> points(rows.rows);
  kernels::parallel_for(rows.rows, [&](std::int64_t i) { points[i] = along(rows.row(i), mean, axes); });
  return points;
}

}  // namespace swath
