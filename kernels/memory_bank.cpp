// The memory bank on the CPU. methods.md §6.
#include "kernels/memory_bank.h"

#include <algorithm>
#include <cmath>

#include "kernels/dispatch.h"
#include "kernels/lanes.h"
#include "kernels/memory_bank_draw.h"
#include "kernels/parallel.h"
#include "kernels/row_normalize.h"

namespace swath::kernels {
namespace {

template <class T>
void update_row(const BankUpdateArgs& args, std::int64_t i) {
  const std::int64_t own = args.index[i] - args.first;
  if (own < 0 || own >= args.rows) return;
  if (std::find(args.index + i + 1, args.index + args.batch, args.index[i]) != args.index + args.batch) return;
  const float momentum = *args.momentum;
  const float* e = args.embeddings + i * args.embeddings_ld;
  T* row = typed<T>(args.bank) + own * args.cols;
  const auto mixed = [=](std::int64_t k) { return momentum * to_float(row[k]) + (1.0f - momentum) * e[k]; };
  const float squares = lane_sum(args.cols, [&](std::int64_t k) { return mixed(k) * mixed(k); });
  const float inv_norm = 1.0f / std::max(std::sqrt(squares), kRowNormFloor);
  for (std::int64_t k = 0; k < args.cols; ++k) row[k] = from_float<T>(mixed(k) * inv_norm);
}

}  // namespace

void bank_init(const BankInitArgs& args, Cpu) {
  const std::int64_t all = args.rows * args.cols, before = args.first * args.cols;
  const float limit = bank_limit(args.cols);
  with_element(args.bank_type, [&](auto zero) {
    using T = decltype(zero);
    T* bank = typed<T>(args.bank);
    parallel_chunks(all, 4096, [&](std::int64_t begin, std::int64_t end) {
      float values[4];
      for (std::int64_t k = begin; k < end;) {
        const std::int64_t block = (before + k) / 4;
        bank_values(args.seed, block, limit, values);
        for (std::int64_t e = before + k - 4 * block; e < 4 && k < end; ++e, ++k) bank[k] = from_float<T>(values[e]);
      }
    });
  });
}

void bank_update(const BankUpdateArgs& args, Cpu) {
  with_element(args.bank_type, [&](auto zero) {
    parallel_for(
        args.batch, [&](std::int64_t i) { update_row<decltype(zero)>(args, i); }, serial_below_for(args.cols));
  });
}

}  // namespace swath::kernels
