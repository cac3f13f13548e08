// A random permutation of the labels over the rows. methods.md §5 "Random-distance".
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// The rows in use that have a class exchange their classes by a uniform permutation: sorted by the 64-bit keys v[0], v[1] of
/// philox(seed, *step, label_permutation, row), ties by the lower row, the row that comes r-th gives its class to the r-th of
/// these rows in ascending order. Other rows get −1.
/// Cost: rows² comparisons from shared memory, 1 launch (CUDA); a sort of rows keys (CPU). Workspace 16 bytes a row, which
/// only the CPU uses.
struct PermuteLabelsArgs {
  const std::int32_t* row_class = nullptr;  // rows: class or −1
  const std::int32_t* row_count = nullptr;  // 1: rows in use; null: all
  const std::uint64_t* step = nullptr;      // 1
  std::int32_t* permuted = nullptr;         // rows; not row_class itself
  std::int64_t rows = 0;
  std::uint64_t seed = 0;
  void* workspace = nullptr;  // permute_labels_workspace(args) bytes, aligned to 8
};
void permute_labels(const PermuteLabelsArgs& args, CudaStream exec);
void permute_labels(const PermuteLabelsArgs& args, Cpu exec);
std::size_t permute_labels_workspace(const PermuteLabelsArgs& args);

}  // namespace swath::kernels

// Budget: permute_labels_kernel 40 registers, 8192 bytes shared.
