// Multi-hot labels as bit masks: row i is `words` 64-bit words, class c is bit c % 64 of word c / 64. methods.md §5, §6.
#pragma once
#include <cstdint>

#include "kernels/half.h"

namespace swath::kernels {

constexpr std::int64_t label_words(std::int64_t classes) { return (classes + 63) / 64; }

/// The bits of word `word` that stand for a class.
SWATH_HOST_DEVICE std::uint64_t valid_label_bits(std::int64_t classes, std::int64_t word) {
  const std::int64_t bits = classes - 64 * word;
  return bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
}

/// ⟨y_a, y_b⟩, the number of classes that two rows share. a, b: words.
SWATH_HOST_DEVICE int common_labels(const std::uint64_t* a, const std::uint64_t* b, std::int64_t words) {
  int common = 0;
  for (std::int64_t w = 0; w < words; ++w) {
#if defined(__CUDA_ARCH__)
    common += __popcll(a[w] & b[w]);
#else
    common += __builtin_popcountll(a[w] & b[w]);
#endif
  }
  return common;
}

}  // namespace swath::kernels
