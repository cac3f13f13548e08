// How many classes two rows share, on the CPU. methods.md §5.
#include "kernels/label_similarity.h"

#include <algorithm>

#include "kernels/label_mask.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kRows = 16;   // rows of a task
constexpr std::int64_t kTile = 128;  // other rows whose sums stay in the first-level cache

/// sum[j] += popcount(own & word[j]): one vector instruction per eight masks where the processor has it.
void add_common(std::uint64_t own, const std::uint64_t* word, std::int64_t n, std::uint64_t* sum) {
  for (std::int64_t j = 0; j < n; ++j) sum[j] += static_cast<std::uint64_t>(__builtin_popcountll(own & word[j]));
}

/// The same where there is but one word.
void put_common(std::uint64_t own, const std::uint64_t* word, std::int64_t n, std::uint16_t* similarity) {
  for (std::int64_t j = 0; j < n; ++j) similarity[j] = static_cast<std::uint16_t>(__builtin_popcountll(own & word[j]));
}

/// Rows begin … end against the other rows j0 … j0 + n.
void similarity_of_tile(const LabelSimilarityArgs& args, std::int64_t begin, std::int64_t end, std::int64_t j0,
                        std::int64_t n) {
  const std::int64_t words = label_words(args.classes);
  std::uint64_t word[kTile];
  if (words == 1) {
    for (std::int64_t j = 0; j < n; ++j) word[j] = args.others[j0 + j] & valid_label_bits(args.classes, 0);
    for (std::int64_t i = begin; i < end; ++i) put_common(args.labels[i], word, n, args.similarity + i * args.other_rows + j0);
    return;
  }
  std::uint64_t sum[kRows][kTile] = {};
  for (std::int64_t w = 0; w < words; ++w) {
    const std::uint64_t valid = valid_label_bits(args.classes, w);
    for (std::int64_t j = 0; j < n; ++j) word[j] = args.others[(j0 + j) * words + w] & valid;
    for (std::int64_t i = begin; i < end; ++i) add_common(args.labels[i * words + w], word, n, sum[i - begin]);
  }
  for (std::int64_t i = begin; i < end; ++i) {
    std::uint16_t* similarity = args.similarity + i * args.other_rows + j0;
    for (std::int64_t j = 0; j < n; ++j) similarity[j] = static_cast<std::uint16_t>(sum[i - begin][j]);
  }
}

std::int32_t labels_of(const LabelSimilarityArgs& args, std::int64_t i) {
  const std::int64_t words = label_words(args.classes);
  std::int32_t count = 0;
  for (std::int64_t w = 0; w < words; ++w)
    count += __builtin_popcountll(args.labels[i * words + w] & valid_label_bits(args.classes, w));
  return count;
}

}  // namespace

void label_similarity(const LabelSimilarityArgs& args, Cpu) {
  parallel_chunks(
      args.rows, kRows,
      [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t j0 = 0; j0 < args.other_rows; j0 += kTile)
          similarity_of_tile(args, begin, end, j0, std::min(kTile, args.other_rows - j0));
        if (!args.label_count) return;
        for (std::int64_t i = begin; i < end; ++i) args.label_count[i] = labels_of(args, i);
      },
      serial_below_for(kRows * args.other_rows * label_words(args.classes) / 8));
}

}  // namespace swath::kernels
