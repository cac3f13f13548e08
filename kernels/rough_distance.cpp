// Rough distances by integer products, on the CPU. methods.md §4.
// This file is compiled without contraction: every fused multiply-add is written out, as in pairwise_distance.cpp.
#include "kernels/rough_distance.h"

#include <bit>
#include <limits>

#include "kernels/distance_tile.h"

#if defined(__AVX512VNNI__) && defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace swath::kernels {
namespace {

constexpr double kSmallest = 5.9604644775390625e-8;  // 2⁻²⁴: the relative error of one operation in float
constexpr double kRounding = 0.51;                   // of an element, in its integers

std::int64_t words_of(std::int64_t cols) { return (cols + 1) / 2; }

/// The largest |x_i| and the largest |x_ik|.
struct Extent {
  double norm = 0, element = 0;
};

Extent extent_of(const RoughDistanceArgs& args) {
  float square = 0, element = 0;
  bool finite = true;
  for (std::int64_t i = 0; i < args.rows; ++i) {
    const float own = args.distance[i * (args.rows + 1)];
    finite = finite && std::isfinite(own);
    square = std::max(square, own);
  }
  if (!finite) return {std::numeric_limits<double>::infinity(), 0};
  for (std::int64_t i = 0; i < args.rows; ++i) {
    const float* row = args.x + i * args.x_ld;
    float largest = 0;
#pragma omp simd reduction(max : largest)
    for (std::int64_t k = 0; k < args.cols; ++k) largest = std::max(largest, std::fabs(row[k]));
    element = std::max(element, largest);
  }
  return {std::sqrt(square * (1 + static_cast<double>(args.cols + 1) * kSmallest)), element};
}

/// The rows times `scale` as integers, two columns a word; an odd last column has a 0 beside it. Returns the greatest square by
/// which a row is moved, in integers.
float quantize(const RoughDistanceArgs& args, float scale, std::int16_t* codes) {
  const std::int64_t cols = args.cols, stride = 2 * words_of(cols);
  float greatest = 0;
#pragma omp parallel for schedule(static) reduction(max : greatest) if (args.rows >= serial_below_for(cols))
  for (std::int64_t i = 0; i < args.rows; ++i) {
    const float* row = args.x + i * args.x_ld;
    std::int16_t* own = codes + i * stride;
    float moved = 0;
#pragma omp simd reduction(+ : moved)
    for (std::int64_t k = 0; k < cols; ++k) {
      const float value = row[k] * scale, rounded = std::nearbyint(value);
      own[k] = static_cast<std::int16_t>(rounded);
      moved += (value - rounded) * (value - rounded);
    }
    if (stride > cols) own[cols] = 0;
    greatest = std::max(greatest, moved);
  }
  return greatest;
}

#if defined(__AVX512VNNI__) && defined(__AVX512F__)
using distance_tile::kRows;
using distance_tile::kStrip;
using distance_tile::kTile;
constexpr bool kHasProducts = true;

/// Adds to out[r][j] the products of row r with column j of a strip, two pairs of integers a word.
[[gnu::noinline]] void add_products(const float* const (&x)[kRows], const float (*strip)[kStrip], std::int64_t depth,
                                    float* out) {
  __m512i sum[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sum[r] = _mm512_loadu_si512(out + r * kTile);
  for (std::int64_t k = 0; k < depth; ++k) {
    const __m512i columns = _mm512_loadu_si512(strip[k]);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
      sum[r] = _mm512_dpwssd_epi32(sum[r], _mm512_set1_epi32(std::bit_cast<std::int32_t>(x[r][k])), columns);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) _mm512_storeu_si512(out + r * kTile, sum[r]);
}

struct Products {
  float unit;  // what one means

  void add(const float* const (&x)[kRows], const float (*strip)[kStrip], std::int64_t depth, float* out) const {
    add_products(x, strip, depth, out);
  }
  float value(float sum) const { return unit * static_cast<float>(std::bit_cast<std::int32_t>(sum)); }
};
#else
constexpr bool kHasProducts = false;

struct Products {
  float unit;
};
#endif

}  // namespace

std::size_t rough_distance_workspace(const RoughDistanceArgs& args) {
  return kHasProducts ? static_cast<std::size_t>(args.rows * words_of(args.cols)) * sizeof(std::int32_t) : 0;
}

double rough_distance(const RoughDistanceArgs& args, Cpu) {
  if constexpr (!kHasProducts) return 0;
  const PairwiseDistanceArgs exact{
      .x = args.x, .distance = args.distance, .rows = args.rows, .cols = args.cols, .x_ld = args.x_ld};
  distance_tile::put_squares(exact);
  const Extent extent = extent_of(args);
  const auto cols = static_cast<double>(args.cols);
  // No integer row is longer than √(2³¹ − 1), so no sum of products, nor a part of one, leaves 32 bits.
  const double rounding = kRounding * std::sqrt(cols), longest = 46340 - rounding;
  const auto scale = static_cast<float>(std::min(longest / extent.norm, 32766 / extent.element) * (1 - 4 * kSmallest));
  if (!(longest > 0) || !std::isnormal(scale) || !std::isnormal(1 / (scale * scale))) return 0;
  auto* codes = static_cast<std::int16_t*>(args.workspace);
  const double square = quantize(args, scale, codes);
  const std::int64_t words = words_of(args.cols);
  distance_tile::distances_of_tiles(
      Products{1 / (scale * scale)},
      {.x = reinterpret_cast<const float*>(codes), .distance = args.distance, .rows = args.rows, .cols = words, .x_ld = words});
  // How far a row is from its integers: a product may have lost 2⁻⁸ of an integer, and the sum of squares has rounding of its
  // own.
  const double moved = (std::sqrt(square * (1 + (cols + 2) * kSmallest)) + std::sqrt(cols) / 256) / scale;
  const double norm = extent.norm;
  return 2 * (2 * norm * moved + moved * moved) + 2 * (cols + 32) * kSmallest * norm * norm;
}

void exact_distances(const RoughDistanceArgs& args, std::int64_t i, const std::int32_t* others, std::int64_t count,
                     float* result) {
  constexpr std::int64_t kGroup = 8;  // chains that run side by side
  const float* row = args.x + i * args.x_ld;
  const float square = args.distance[i * (args.rows + 1)];
  for (std::int64_t n = 0; n < count; n += kGroup) {
    const float* x[kGroup];
    float sum[kGroup] = {};
    for (std::int64_t r = 0; r < kGroup; ++r) x[r] = args.x + others[std::min(n + r, count - 1)] * args.x_ld;
    for (std::int64_t k = 0; k < args.cols; ++k) {
      for (std::int64_t r = 0; r < kGroup; ++r) sum[r] = __builtin_fmaf(row[k], x[r][k], sum[r]);
    }
    for (std::int64_t r = 0; r < std::min(kGroup, count - n); ++r) {
      const float squares = square + args.distance[others[n + r] * (args.rows + 1)];
      result[n + r] = std::sqrt(std::max(0.0f, __builtin_fmaf(-2.0f, sum[r], squares)));
    }
  }
}

}  // namespace swath::kernels
