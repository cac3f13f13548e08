// A random permutation of the labels over the rows, on the CPU. methods.md §5 "Random-distance".
#include "kernels/permute_labels.h"

#include <algorithm>

#include "kernels/permute_labels_key.h"
#include "kernels/row_search.h"

namespace swath::kernels {
namespace {

struct KeyedRow {
  std::uint64_t key;
  std::int64_t row;
};

}  // namespace

std::size_t permute_labels_workspace(const PermuteLabelsArgs& args) {
  return static_cast<std::size_t>(args.rows) * sizeof(KeyedRow);
}

void permute_labels(const PermuteLabelsArgs& args, Cpu) {
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  auto* order = static_cast<KeyedRow*>(args.workspace);
  std::int64_t members = 0;
  for (std::int64_t i = 0; i < used; ++i) {
    if (args.row_class[i] >= 0) order[members++] = {permutation_key(args.seed, *args.step, i), i};
  }
  std::sort(order, order + members,
            [](const KeyedRow& a, const KeyedRow& b) { return a.key < b.key || (a.key == b.key && a.row < b.row); });
  std::int64_t rank = 0;
  for (std::int64_t i = 0; i < used; ++i) args.permuted[i] = args.row_class[i] >= 0 ? args.row_class[order[rank++].row] : -1;
  std::fill(args.permuted + used, args.permuted + args.rows, -1);
}

}  // namespace swath::kernels
