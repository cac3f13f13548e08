#include "retrieval/affinities.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "kernels/parallel.h"

namespace swath {
namespace {

constexpr int kHalvings = 100;
constexpr double kEntropyTolerance = 1e-6;

/// Fills p with exp(−β (d_j² − d_0²)), normalised, and returns its entropy; d_0 is the nearest.
double conditional(const float* distances, std::int64_t k, double beta, double* p) {
  const double nearest = static_cast<double>(distances[0]) * distances[0];
  double sum = 0, weighted = 0;
  for (std::int64_t j = 0; j < k; ++j) {
    const double beyond = static_cast<double>(distances[j]) * distances[j] - nearest;
    p[j] = std::exp(-beta * beyond);
    sum += p[j];
    weighted += p[j] * beyond;
  }
  for (std::int64_t j = 0; j < k; ++j) p[j] /= sum;
  return std::log(sum) + beta * weighted / sum;
}

/// Bisects β until the entropy of p is that of the perplexity.
void fit_row(const float* distances, std::int64_t k, double entropy, double* p) {
  double low = 0, high = std::numeric_limits<double>::infinity(), beta = 1;
  for (int step = 0; step < kHalvings; ++step) {
    const double above = conditional(distances, k, beta, p) - entropy;
    if (std::abs(above) < kEntropyTolerance) return;
    (above > 0 ? low : high) = beta;
    beta = std::isinf(high) ? beta * 2 : (low + high) / 2;
  }
}

struct Entry {
  std::int32_t column;
  float value;
};

/// Rows of p plus its transpose, as they come: a pair of mutual neighbours has two entries in each row.
std::vector<Entry> with_transpose(const Neighbours& neighbours, const std::vector<double>& p,
                                  std::vector<std::int64_t>& start) {
  const std::int64_t n = neighbours.queries, k = neighbours.k;
  start.assign(n + 1, 0);
  for (std::int64_t i = 0; i < n; ++i) start[i + 1] += k;
  for (const std::int64_t j : neighbours.ids) ++start[j + 1];
  for (std::int64_t i = 0; i < n; ++i) start[i + 1] += start[i];
  std::vector<Entry> entries(start[n]);
  std::vector<std::int64_t> next(start.begin(), start.end() - 1);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t c = 0; c < k; ++c) {
      const std::int64_t j = neighbours.row(i)[c];
      const auto value = static_cast<float>(p[i * k + c] / (2 * static_cast<double>(n)));
      entries[next[i]++] = {static_cast<std::int32_t>(j), value};
      entries[next[j]++] = {static_cast<std::int32_t>(i), value};
    }
  }
  return entries;
}

}  // namespace

Affinities affinities(const Neighbours& neighbours, double perplexity) {
  const std::int64_t n = neighbours.queries, k = neighbours.k;
  SWATH_CHECK(perplexity >= 1 && static_cast<double>(k) > perplexity && n <= std::numeric_limits<std::int32_t>::max(), "{} {}",
              n, k);
  std::vector<double> p(n * k);
  kernels::parallel_for(
      n, [&](std::int64_t i) { fit_row(neighbours.distances.data() + i * k, k, std::log(perplexity), p.data() + i * k); });
  std::vector<std::int64_t> start;
  std::vector<Entry> entries = with_transpose(neighbours, p, start);
  std::vector<std::int64_t> kept(n);
  kernels::parallel_for(n, [&](std::int64_t i) {
    Entry* row = entries.data() + start[i];
    const std::int64_t count = start[i + 1] - start[i];
    std::sort(row, row + count,
              [](const Entry& a, const Entry& b) { return a.column != b.column ? a.column < b.column : a.value < b.value; });
    std::int64_t last = 0;
    for (std::int64_t e = 1; e < count; ++e) {
      if (row[e].column == row[last].column)
        row[last].value += row[e].value;
      else
        row[++last] = row[e];
    }
    kept[i] = count > 0 ? last + 1 : 0;
  });
  Affinities out{n, std::vector<std::int64_t>(n + 1), {}, {}};
  for (std::int64_t i = 0; i < n; ++i) out.start[i + 1] = out.start[i] + kept[i];
  out.columns.resize(out.start[n]);
  out.values.resize(out.start[n]);
  kernels::parallel_for(n, [&](std::int64_t i) {
    for (std::int64_t e = 0; e < kept[i]; ++e) {
      out.columns[out.start[i] + e] = entries[start[i] + e].column;
      out.values[out.start[i] + e] = entries[start[i] + e].value;
    }
  });
  return out;
}

}  // namespace swath
