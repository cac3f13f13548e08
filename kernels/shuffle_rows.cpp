// A random order of rows, on the CPU: every row counts those before it, a block of keys at a time. methods.md §6.
#include "kernels/shuffle_rows.h"

#include <algorithm>

#include "kernels/parallel.h"
#include "kernels/shuffle_rows_key.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kRows = 64;    // rows of a task
constexpr std::int64_t kKeys = 1024;  // keys at a time

void place_rows(const ShuffleRowsArgs& args, std::int64_t begin, std::int64_t end) {
  std::uint64_t own[kRows], keys[kKeys];
  std::int64_t before[kRows] = {};
  for (std::int64_t r = begin; r < end; ++r) own[r - begin] = shuffle_key(args.seed, *args.step, r);
  for (std::int64_t first = 0; first < args.rows; first += kKeys) {
    const std::int64_t count = std::min(kKeys, args.rows - first);
    for (std::int64_t k = 0; k < count; ++k) keys[k] = shuffle_key(args.seed, *args.step, first + k);
    for (std::int64_t r = begin; r < end; ++r) {
      const std::uint64_t key = own[r - begin];
      // Keys of the rows up to r precede on a tie, which r itself then is: one too many, taken off below.
      const std::int64_t ties = std::clamp<std::int64_t>(r - first + 1, 0, count);
      std::int64_t found = 0;
      for (std::int64_t k = 0; k < ties; ++k) found += keys[k] <= key ? 1 : 0;
      for (std::int64_t k = ties; k < count; ++k) found += keys[k] < key ? 1 : 0;
      before[r - begin] += found;
    }
  }
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int64_t at = before[r - begin] - 1;
    if (args.place) args.place[r] = static_cast<std::int32_t>(at);
    if (args.order) args.order[at] = r;
  }
}

}  // namespace

void shuffle_rows(const ShuffleRowsArgs& args, Cpu) {
  parallel_chunks(args.rows, kRows, [&](std::int64_t begin, std::int64_t end) { place_rows(args, begin, end); });
}

}  // namespace swath::kernels
