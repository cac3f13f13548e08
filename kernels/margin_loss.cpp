// Margin loss over triplets, on the CPU. methods.md §6.
#include "kernels/margin_loss.h"

#include <algorithm>
#include <cmath>

#include "kernels/lanes.h"
#include "kernels/margin_loss_terms.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

/// Rows whose gradients one task sums: few enough for all cores, but each task reads the triplet list once.
std::int64_t rows_per_task(std::int64_t rows) { return std::max<std::int64_t>(8, (rows + 31) / 32); }

float distance(const float* a, const float* b, std::int64_t cols) {
  const float squares = lane_sum(cols, [a, b](std::int64_t k) { return (a[k] - b[k]) * (a[k] - b[k]); });
  return std::sqrt(squares + kMarginDistanceFloor);
}

void row_gradients(const MarginLossArgs& args, const MarginTerms* terms, std::int64_t used, float scale, std::int64_t begin,
                   std::int64_t end) {
  if (args.d_x_mode == GradMode::overwrite) {
    for (std::int64_t i = begin; i < end; ++i) std::fill_n(args.d_x + i * args.d_x_ld, args.cols, 0.0f);
  }
  // d_x[row] += factor · (x[row] − x[other])
  const auto add = [&](std::int64_t row, std::int64_t other, float factor) {
    if (row < begin || row >= end || factor == 0.0f) return;
    const float* x = args.x + row * args.x_ld;
    const float* y = args.x + other * args.x_ld;
    float* d_x = args.d_x + row * args.d_x_ld;
    for (std::int64_t k = 0; k < args.cols; ++k) d_x[k] += factor * (x[k] - y[k]);
  };
  for (std::int64_t t = 0; t < used; ++t) {
    const std::int32_t* rows = args.triplets + 3 * t;
    const float pull = scale * terms[t].pull, push = scale * terms[t].push;
    add(rows[0], rows[1], pull);
    add(rows[0], rows[2], -push);
    add(rows[1], rows[0], pull);
    add(rows[2], rows[0], -push);
  }
}

/// The gradient of β number b, without the scale: #(l⁻ > 0) − #(l⁺ > 0) + ν sign(β) · (1, or the triplets of the class).
float beta_gradient(const MarginLossArgs& args, const MarginTerms* terms, std::int64_t used, std::int64_t b) {
  std::int64_t active = 0, members = 0;
  for (std::int64_t t = 0; t < used; ++t) {
    if (beta_index(args, t) != b) continue;
    active += (terms[t].push > 0.0f ? 1 : 0) - (terms[t].pull > 0.0f ? 1 : 0);
    ++members;
  }
  const std::int64_t regularised = args.beta_kind == MarginBeta::scalar ? 1 : members;
  return static_cast<float>(active) + args.nu * sign(args.beta[b]) * static_cast<float>(regularised);
}

}  // namespace

std::size_t margin_loss_workspace(const MarginLossArgs& args) {
  return static_cast<std::size_t>(args.capacity) * sizeof(MarginTerms);
}

void margin_loss(const MarginLossArgs& args, Cpu) {
  const std::int64_t used =
      args.triplet_count ? std::clamp<std::int64_t>(*args.triplet_count, 0, args.capacity) : args.capacity;
  auto* terms = static_cast<MarginTerms*>(args.workspace);
  parallel_for(
      used,
      [&](std::int64_t t) {
        const std::int32_t* rows = args.triplets + 3 * t;
        const float* anchor = args.x + rows[0] * args.x_ld;
        terms[t] = margin_terms(args, args.beta[beta_index(args, t)], distance(anchor, args.x + rows[1] * args.x_ld, args.cols),
                                distance(anchor, args.x + rows[2] * args.x_ld, args.cols));
      },
      serial_below_for(2 * args.cols));

  std::int64_t active = 0;
  for (std::int64_t t = 0; t < used; ++t) active += is_active(terms[t]) ? 1 : 0;
  const float penalty = args.beta_kind == MarginBeta::scalar
                            ? std::abs(args.beta[0])
                            : lane_sum(used, [terms](std::int64_t t) { return terms[t].abs_beta; });
  const bool trained = args.beta_update == MarginBetaUpdate::trained;
  const float sum = lane_sum(used, [terms](std::int64_t t) { return terms[t].loss; }) + (trained ? args.nu * penalty : 0.0f);
  const float inv_active = active > 0 ? 1.0f / static_cast<float>(active) : 0.0f;
  *args.loss = active > 0 ? sum * inv_active : 0.0f;
  if (args.active) *args.active = static_cast<float>(active);

  const float scale = inv_active * (args.loss_scale ? *args.loss_scale : 1.0f);
  if (args.d_x_mode != GradMode::skip) {
    parallel_chunks(
        args.rows, rows_per_task(args.rows),
        [&](std::int64_t begin, std::int64_t end) { row_gradients(args, terms, used, scale, begin, end); },
        serial_below_for(rows_per_task(args.rows) * args.cols + used));
  }
  if (args.d_beta_mode != GradMode::skip) {
    parallel_for(
        args.beta_kind == MarginBeta::scalar ? 1 : args.classes,
        [&](std::int64_t b) {
          const float gradient = trained && active > 0 ? scale * beta_gradient(args, terms, used, b) : 0.0f;
          args.d_beta[b] = args.d_beta_mode == GradMode::accumulate ? args.d_beta[b] + gradient : gradient;
        },
        serial_below_for(used));
  }
}

}  // namespace swath::kernels
