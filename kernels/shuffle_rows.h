// A random order of a batch's rows. methods.md §6 "Fast MoCo" (keys are computed with the batch shuffled).
#pragma once
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// A uniform permutation: the rows sorted by the 64-bit keys v[0], v[1] of philox(seed, *step, shuffle, row, 1), ties by the
/// lower row. order[place[row]] = row.
/// Cost: CUDA rows² comparisons, the keys drawn once for each 256 rows; CPU the same comparisons; 1 launch; no workspace.
struct ShuffleRowsArgs {
  const std::uint64_t* step = nullptr;  // 1
  std::int64_t* order = nullptr;        // rows: which row comes r-th; may be null
  std::int32_t* place = nullptr;        // rows: where row r comes; may be null
  std::int64_t rows = 0;
  std::uint64_t seed = 0;
};
void shuffle_rows(const ShuffleRowsArgs& args, CudaStream exec);
void shuffle_rows(const ShuffleRowsArgs& args, Cpu exec);

}  // namespace swath::kernels

// Budget: shuffle_rows_kernel 32 registers, 2048 bytes shared.
