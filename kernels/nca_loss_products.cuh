// The two products of nca_loss that a warp computes on its 32 columns: similarities of some rows with 16 bank rows, and sums of
// these bank rows. A f32 bank multiplies in TF32, of kTerms 1 or 3; a bf16 bank in bf16, with the other operand in two terms.
#pragma once
#include "kernels/mma.cuh"

namespace swath::kernels::nca {

constexpr int kTileRows = 16;  // bank rows
constexpr int kSliceCols = 32;

/// x[row][k] of f32 rows, zero outside.
struct RowSource {
  const float* x;
  std::int64_t rows, cols, ld;
  /// One row from column k0 on.
  struct Row {
    const float* x;
    int count;
    __device__ float at(int k) const { return k < count ? x[k] : 0.0f; }
  };
  __device__ Row row(std::int64_t r, std::int64_t k0) const {
    return {x + r * ld + k0, r < rows ? static_cast<int>(cols - k0) : 0};
  }
};

/// threadIdx.x, read again: what follows from it then takes no register while the products need all.
__device__ __forceinline__ unsigned thread_anew() {
  unsigned thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}

__device__ __forceinline__ int group_of_lane() { return threadIdx.x % 32 / 4; }
__device__ __forceinline__ int quad_of_lane() { return threadIdx.x % 4; }

template <class T, int kTerms>
struct Products;

template <int kTerms>
struct Products<float, kTerms> {
  static_assert(kTerms == 1 || kTerms == 3);
  using Element = float;
  // Behind the columns of a tile's row: rows then start 8 banks apart, and both ways to read a tile meet each bank once.
  static constexpr int kPad = 8;

  /// Rows row0 … row0 + 16 kM of the batch, columns k0 … k0 + 32: [..][half][8 · step + 2 · quad + pair].
  template <int kM>
  struct Embeddings {
    float value[kM][2][4][2];

    __device__ void load(const RowSource& x, std::int64_t row0, std::int64_t k0) {
#pragma unroll
      for (int m = 0; m < kM; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const RowSource::Row row = x.row(row0 + 16 * m + 8 * half + group_of_lane(), k0);
#pragma unroll
          for (int e = 0; e < 8; ++e) value[m][half][e / 2][e % 2] = row.at(e / 2 * 8 + 2 * quad_of_lane() + e % 2);
        }
      }
    }
  };

  struct Operand {
    std::uint32_t high[4], low[4];
  };
  struct Column {
    std::uint32_t high[2], low[2];
    __device__ Column(float x, float y) : high{high_term(x), high_term(y)} {
      if constexpr (kTerms == 3) low[0] = tf32_low(x, high[0]), low[1] = tf32_low(y, high[1]);
    }
  };
  static __device__ std::uint32_t high_term(float x) { return kTerms == 3 ? tf32_high(x) : to_tf32(x); }

  /// c[n] += a · b[n], the small products first; products in a row do not wait for one another.
  static __device__ void multiply(float (&c)[2][4], const Operand& a, const Column (&b)[2]) {
    if constexpr (kTerms == 3) {
      mma_tf32(c[0], a.low, b[0].high);
      mma_tf32(c[1], a.low, b[1].high);
      mma_tf32(c[0], a.high, b[0].low);
      mma_tf32(c[1], a.high, b[1].low);
    }
    mma_tf32(c[0], a.high, b[0].high);
    mma_tf32(c[1], a.high, b[1].high);
  }

  /// sum[m][n] += rows 16 m … of the batch times bank rows 8 n … of the tile, over the warp's columns.
  template <int kM>
  static __device__ void add_similarities(float (&sum)[kM][2][4], const Embeddings<kM>& embeddings, const float* tile,
                                          int pitch) {
    const unsigned thread = thread_anew();
    const float* row = tile + (thread / 32 * kSliceCols + thread % 32 / 4 * pitch + thread % 4 * 2);
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const float2 x = *reinterpret_cast<const float2*>(row + 8 * step);
      const float2 y = *reinterpret_cast<const float2*>(row + 8 * pitch + 8 * step);
      const Column b[2] = {{x.x, x.y}, {y.x, y.y}};
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        // The two terms of an embedding one after the other: 128 registers have no room for both.
        std::uint32_t a[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) a[i] = high_term(embeddings.value[m][i % 2][step][i / 2]);
        mma_tf32(sum[m][0], a, b[0].high);
        mma_tf32(sum[m][1], a, b[1].high);
        if constexpr (kTerms == 3) {
          mma_tf32(sum[m][0], a, b[0].low);
          mma_tf32(sum[m][1], a, b[1].low);
#pragma unroll
          for (int i = 0; i < 4; ++i) a[i] = tf32_low(embeddings.value[m][i % 2][step][i / 2], a[i]);
          mma_tf32(sum[m][0], a, b[0].high);
          mma_tf32(sum[m][1], a, b[1].high);
        }
      }
    }
  }

  /// Factors of 16 kM rows for 16 bank rows, in the order in which lanes take them as operands.
  template <int kM>
  struct Weights {
    alignas(16) std::uint32_t high[kM][2][32][4];
    alignas(16) std::uint32_t low[kTerms == 3 ? kM : 1][2][32][4];

    /// Those of `column` (even) and the next one.
    __device__ void put(int row, int column, float first, float second) {
      const int lane = row % 8 * 4 + column % 4, element = column / 4 % 2 * 2 + row / 8 % 2;
      put(high[row / 16][column / 8], low[kTerms == 3 ? row / 16 : 0][column / 8], lane, element, first);
      put(high[row / 16][column / 8], low[kTerms == 3 ? row / 16 : 0][column / 8], lane + 1, element, second);
    }
    static __device__ void put(std::uint32_t (&highs)[32][4], std::uint32_t (&lows)[32][4], int lane, int element,
                               float weight) {
      const std::uint32_t h = high_term(weight);
      highs[lane][element] = h;
      if constexpr (kTerms == 3) lows[lane][element] = tf32_low(weight, h);
    }
    __device__ Operand get(int m, int step) const {
      Operand a;
      const auto take = [](std::uint32_t(&to)[4], const std::uint32_t(&from)[4]) {
        const uint4 v = *reinterpret_cast<const uint4*>(&from);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
      };
      take(a.high, high[m][step][threadIdx.x % 32]);
      if constexpr (kTerms == 3) take(a.low, low[m][step][threadIdx.x % 32]);
      return a;
    }
  };

  /// sum[m][n] += weights times the tile's columns 8 n … of the warp. Every 8 bank rows start from zero, because tensor cores
  /// round their sums toward zero: over a whole bank that would show.
  template <int kM>
  static __device__ void add_rows(float (&sum)[kM][4][4], const Weights<kM>& weights, const float* tile, int pitch) {
    const float* row = tile + quad_of_lane() * pitch + group_of_lane();
#pragma unroll 1
    for (int step = 0; step < 2; ++step) {
      Operand a[kM];
#pragma unroll
      for (int m = 0; m < kM; ++m) a[m] = weights.get(m, step);
#pragma unroll
      for (int n = 0; n < 4; n += 2) {
        const float* column = row + 8 * step * pitch + 8 * n;
        const Column b[2] = {{column[0], column[4 * pitch]}, {column[8], column[4 * pitch + 8]}};
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          float fresh[2][4] = {};
          multiply(fresh, a[m], b);
#pragma unroll
          for (int i = 0; i < 8; ++i) sum[m][n + i / 4][i % 4] += fresh[i / 4][i % 4];
        }
      }
    }
  }
};

template <>
struct Products<bf16, 2> {
  using Element = bf16;
  static constexpr int kPad = 8;  // rows then start an odd number of 16-byte groups apart: no two of 8 rows meet on a bank

  struct Operand {
    std::uint32_t high[4], low[4];
  };
  static __device__ void multiply(float (&c)[4], const Operand& a, const std::uint32_t (&b)[2]) {
    mma_bf16(c, a.low, b);
    mma_bf16(c, a.high, b);
  }

  template <int kM>
  struct Embeddings {
    Operand value[kM][2];

    __device__ void load(const RowSource& x, std::int64_t row0, std::int64_t k0) {
#pragma unroll
      for (int m = 0; m < kM; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const RowSource::Row row = x.row(row0 + 16 * m + 8 * half + group_of_lane(), k0);
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int k = 8 * e + 2 * quad_of_lane(), at = e % 2 * 2 + half;
            split_bf16(row.at(k), row.at(k + 1), value[m][e / 2].high[at], value[m][e / 2].low[at]);
          }
        }
      }
    }
  };

  template <int kM>
  static __device__ void add_similarities(float (&sum)[kM][2][4], const Embeddings<kM>& embeddings, const bf16* tile,
                                          int pitch) {
    const unsigned thread = thread_anew(), lane = thread % 32;
    const bf16* row = tile + (thread / 32 * kSliceCols + lane % 8 * pitch + lane / 8 * 8);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      std::uint32_t k[4];  // columns 8 i … of bank rows 8 n …
      load_matrices(k, row + 8 * n * pitch);
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        const std::uint32_t b[2] = {k[2 * step], k[2 * step + 1]};
#pragma unroll
        for (int m = 0; m < kM; ++m) multiply(sum[m][n], embeddings.value[m][step], b);
      }
    }
  }

  template <int kM>
  struct Weights {
    alignas(16) std::uint32_t high[kM][32][4];
    alignas(16) std::uint32_t low[kM][32][4];

    /// Those of `column` (even) and the next one.
    __device__ void put(int row, int column, float first, float second) {
      const int lane = row % 8 * 4 + column % 8 / 2, element = column / 8 * 2 + row / 8 % 2;
      split_bf16(first, second, high[row / 16][lane][element], low[row / 16][lane][element]);
    }
    __device__ Operand get(int m) const {
      Operand a;
      const auto take = [](std::uint32_t(&to)[4], const std::uint32_t(&from)[4]) {
        const uint4 v = *reinterpret_cast<const uint4*>(&from);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
      };
      take(a.high, high[m][threadIdx.x % 32]);
      take(a.low, low[m][threadIdx.x % 32]);
      return a;
    }
  };

  template <int kM>
  static __device__ void add_rows(float (&sum)[kM][4][4], const Weights<kM>& weights, const bf16* tile, int pitch) {
    const int lane = threadIdx.x % 32;
    Operand a[kM];
#pragma unroll
    for (int m = 0; m < kM; ++m) a[m] = weights.get(m);
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {
      std::uint32_t k[4];  // bank rows 0 …, 8 … of 8 columns, then of the next 8
      load_matrices_transposed(k, tile + (lane / 8 % 2 * 8 + lane % 8) * pitch + 16 * pair + lane / 16 * 8);
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const std::uint32_t b[2] = {k[2 * n], k[2 * n + 1]};
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          float fresh[4] = {};
          multiply(fresh, a[m], b);
#pragma unroll
          for (int i = 0; i < 4; ++i) sum[m][2 * pair + n][i] += fresh[i];
        }
      }
    }
  }
};

}  // namespace swath::kernels::nca
