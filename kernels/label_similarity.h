// How many classes two rows share. methods.md §5 "Multi-label semihard", §6.
#pragma once
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// s_ij = ⟨y_i, y_j⟩ for every row i and every other row j, and |y_i|. Labels are bit masks (kernels/label_mask.h) of
/// label_words(classes) words; bits from `classes` on are ignored. Counts are 16 bits wide, because 256 shared classes do not
/// fit into 8; classes ≤ 65535.
/// Cost: rows · other_rows · words popcounts, writes 2 · rows · other_rows bytes, reads the masks from cache; 1 launch; no
/// workspace.
struct LabelSimilarityArgs {
  const std::uint64_t* labels = nullptr;  // rows × words
  const std::uint64_t* others = nullptr;  // other_rows × words; may be `labels`
  std::uint16_t* similarity = nullptr;    // rows × other_rows
  std::int32_t* label_count = nullptr;    // rows: |y_i|; may be null
  std::int64_t rows = 0;
  std::int64_t other_rows = 0;
  std::int64_t classes = 0;
};
void label_similarity(const LabelSimilarityArgs& args, CudaStream exec);
void label_similarity(const LabelSimilarityArgs& args, Cpu exec);

}  // namespace swath::kernels

// Budget: label_similarity_kernel 80 registers.
