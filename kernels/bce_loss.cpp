// Binary cross-entropy with logits on the CPU. methods.md §6.
#include "kernels/bce_loss.h"

#include "kernels/bce_loss_plan.h"
#include "kernels/lanes.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

/// Sum of one row's terms; its gradient, times `scale`, goes to d_logits.
float row_loss(const BceLossArgs& args, std::int64_t row, float scale) {
  const float* logits = args.logits + row * args.classes;
  float* d_logits = args.d_logits ? args.d_logits + row * args.classes : nullptr;
  const std::uint64_t* labels = args.labels + row * args.words;
  float sum = 0.0f;
  for (std::int64_t first = 0; first < args.classes; first += 64) {
    const std::int64_t count = std::min<std::int64_t>(64, args.classes - first);
    const std::uint64_t word = labels[first / 64];
    float loss[64], slope[64];
    for (std::int64_t c = 0; c < count; ++c) {
      const BceTerm term = bce_term(logits[first + c], ((word >> c) & 1u) != 0);
      loss[c] = term.loss;
      slope[c] = scale * term.slope;
    }
    sum += lane_sum(count, [&](std::int64_t c) { return loss[c]; });
    if (args.d_logits_mode == GradMode::overwrite) {
      for (std::int64_t c = 0; c < count; ++c) d_logits[first + c] = slope[c];
    } else if (args.d_logits_mode == GradMode::accumulate) {
      for (std::int64_t c = 0; c < count; ++c) d_logits[first + c] += slope[c];
    }
  }
  return sum;
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
        const std::int64_t end = std::min(args.rows, (chunk + 1) * kBceChunkRows);
        for (std::int64_t row = chunk * kBceChunkRows; row < end; ++row) sum += row_loss(args, row, scale);
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
