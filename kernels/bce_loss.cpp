// Binary cross-entropy with logits on the CPU. methods.md §6.
#include "kernels/bce_loss.h"

#include <algorithm>

#include "kernels/bce_loss_plan.h"
#include "kernels/lanes.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kBlock = 1024;  // elements at a time, of as many rows as they span

/// Writes −1 where an element carries its label, else 1, for the `count` elements from `first` on, counted row by row.
void label_signs(const BceLossArgs& args, std::int64_t first, std::int64_t count, float* sign) {
  std::int64_t row = first / args.classes, begin = first % args.classes;
  while (count > 0) {
    const std::int64_t end = std::min({args.classes, begin + count, (begin / 64 + 1) * 64}), n = end - begin;
    const std::uint64_t word = args.labels[row * args.words + begin / 64] >> (begin % 64);
    const auto low = static_cast<std::uint32_t>(word), high = static_cast<std::uint32_t>(word >> 32);
    for (std::int64_t c = 0; c < std::min<std::int64_t>(n, 32); ++c) sign[c] = ((low >> c) & 1u) != 0 ? -1.0f : 1.0f;
    for (std::int64_t c = 32; c < n; ++c) sign[c] = ((high >> (c - 32)) & 1u) != 0 ? -1.0f : 1.0f;
    sign += n;
    count -= n;
    begin = end < args.classes ? end : 0;
    row += begin == 0 ? 1 : 0;
  }
}

/// Sum of the terms of the `count` ≤ kBlock elements from `first` on; their gradient, times `scale`, goes to d_logits.
float block_loss(const BceLossArgs& args, std::int64_t first, std::int64_t count, float scale) {
  const float* logits = args.logits + first;
  float sign[kBlock], loss[kBlock], slope[kBlock];
  label_signs(args, first, count, sign);
  for (std::int64_t e = 0; e < count; ++e) {
    const BceTerm term = bce_term(logits[e], sign[e]);
    loss[e] = term.loss;
    slope[e] = scale * term.slope;
  }
  if (args.d_logits_mode == GradMode::overwrite) {
    std::copy_n(slope, count, args.d_logits + first);
  } else if (args.d_logits_mode == GradMode::accumulate) {
    float* d_logits = args.d_logits + first;
    for (std::int64_t e = 0; e < count; ++e) d_logits[e] += slope[e];
  }
  return lane_sum(count, [&](std::int64_t e) { return loss[e]; });
}

}  // namespace

void bce_loss(const BceLossArgs& args, Cpu) {
  const std::int64_t chunks = (args.rows + kBceChunkRows - 1) / kBceChunkRows;
  const float count = static_cast<float>(args.rows * args.classes);
  const float scale = count > 0.0f ? (args.loss_scale ? *args.loss_scale : 1.0f) / count : 0.0f;
  auto* partial = static_cast<float*>(args.workspace);
  parallel_for(
      chunks,
      [&](std::int64_t chunk) {
        float sum = 0.0f;
        const std::int64_t end = std::min(args.rows, (chunk + 1) * kBceChunkRows) * args.classes;
        for (std::int64_t first = chunk * kBceChunkRows * args.classes; first < end; first += kBlock)
          sum += block_loss(args, first, std::min(kBlock, end - first), scale);
        partial[chunk] = sum;
      },
      serial_below_for(4 * kBceChunkRows * args.classes));
  const float total = lane_sum(chunks, [&](std::int64_t chunk) { return partial[chunk]; });
  *args.loss = count > 0.0f ? total / count : 0.0f;
}

std::size_t bce_loss_workspace(const BceLossArgs& args) {
  const std::int64_t chunks = (args.rows + kBceChunkRows - 1) / kBceChunkRows;
  return static_cast<std::size_t>(std::max(chunks, kBceMaxPartials)) * sizeof(float);
}

}  // namespace swath::kernels
