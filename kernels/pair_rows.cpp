// One-category rows out of multi-hot images, on the CPU. methods.md §1 "pair rows".
#include "kernels/pair_rows.h"

#include <algorithm>

#include "kernels/pair_rows_rank.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

bool carries(const PairRowsArgs& args, std::int64_t image, std::int64_t class_index) {
  return (args.labels[image * args.words + class_index / 64] >> (class_index % 64)) & 1u;
}

std::uint32_t count_members(const PairRowsArgs& args, std::int64_t class_index) {
  std::uint32_t members = 0;
  for (std::int64_t i = 0; i < args.images; ++i) members += carries(args, i, class_index) ? 1u : 0u;
  return members;
}

std::int32_t member_at(const PairRowsArgs& args, std::int64_t class_index, std::uint32_t rank) {
  for (std::int64_t i = 0; i < args.images; ++i) {
    if (carries(args, i, class_index) && rank-- == 0) return static_cast<std::int32_t>(i);
  }
  return -1;
}

}  // namespace

void pair_rows(const PairRowsArgs& args, Cpu) {
  std::int64_t row = 0;
  for (std::int64_t c = 0; c < args.classes; ++c) {
    const std::uint32_t members = count_members(args, c);
    if (members == 0) continue;
    for (std::int64_t j = 0; j < args.rows_per_class; ++j, ++row) {
      const auto draw = static_cast<std::uint32_t>(j);
      args.row_image[row] = member_at(args, c, pair_rows_rank(args.seed, *args.step, c, draw, members, args.rows_per_class));
      args.row_class[row] = static_cast<std::int32_t>(c);
    }
  }
  *args.row_count = static_cast<std::int32_t>(row);
  const std::int64_t unused = pair_rows_capacity(args.classes, args.rows_per_class) - row;
  std::fill_n(args.row_image + row, unused, -1);
  std::fill_n(args.row_class + row, unused, -1);
}

}  // namespace swath::kernels
