// Distances between all rows up to a known error, in a fraction of the time, and the exact ones of single pairs, on the CPU:
// for a miner whose choices seldom hang on the last digits. methods.md §4.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// Rows are rounded to integers of 16 bits whose products are summed in 32, without overflow and without a rounding error; this
/// takes a processor with such products (AVX-512 VNNI).
struct RoughDistanceArgs {
  const float* x = nullptr;   // rows × cols, rows x_ld apart
  float* distance = nullptr;  // rows × rows; |x_i|² on the diagonal
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t x_ld = 0;
  void* workspace = nullptr;  // rough_distance_workspace(args) bytes, aligned to 64
};

/// Fills `distance` and returns e: each of its squares differs by at most e from the square that pairwise_distance finds.
/// 0 where the processor or the rows do not allow it (all zero, not finite); then no distance is written.
double rough_distance(const RoughDistanceArgs& args, Cpu exec);
std::size_t rough_distance_workspace(const RoughDistanceArgs& args);

/// What pairwise_distance gives for row i and each of the rows others[0 … count), bit for bit; reads the diagonal of
/// `distance`.
void exact_distances(const RoughDistanceArgs& args, std::int64_t i, const std::int32_t* others, std::int64_t count,
                     float* result);

}  // namespace swath::kernels
