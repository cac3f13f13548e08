// Correlation with a regressor's prediction on the CPU. methods.md §6 "Adversarial decorrelation".
#include "kernels/adversarial_loss.h"

#include <algorithm>
#include <cmath>

#include "kernels/lanes.h"
#include "kernels/parallel.h"
#include "kernels/row_normalize.h"

namespace swath::kernels {
namespace {

void write(GradMode mode, float* d, std::int64_t k, float value) { d[k] = mode == GradMode::accumulate ? d[k] + value : value; }

/// Σ (t ∘ r)² of one row; gradients with the factor of the whole loss.
float row_term(const AdversarialLossArgs& args, std::int64_t row, float factor) {
  const float* t = args.target + row * args.target_ld;
  const float* p = args.prediction + row * args.cols;
  const float squares = lane_sum(args.cols, [&](std::int64_t k) { return p[k] * p[k]; });
  const float products = lane_sum(args.cols, [&](std::int64_t k) { return t[k] * p[k] * (t[k] * p[k]); });
  const float norm = std::sqrt(squares), length = std::max(norm, kRowNormFloor);
  const float term = products / std::max(squares, kRowNormFloor * kRowNormFloor);
  // Below the floor the norm is a constant, so nothing is projected out.
  const float projected = norm > kRowNormFloor ? term : 0.0f;
  if (args.d_target_mode != GradMode::skip) {
    float* d = args.d_target + row * args.d_target_ld;
    for (std::int64_t k = 0; k < args.cols; ++k) {
      const float r = p[k] / length;
      write(args.d_target_mode, d, k, factor * t[k] * r * r);
    }
  }
  if (args.d_prediction_mode != GradMode::skip) {
    float* d = args.d_prediction + row * args.cols;
    for (std::int64_t k = 0; k < args.cols; ++k) {
      const float r = p[k] / length;
      write(args.d_prediction_mode, d, k, factor / length * (t[k] * t[k] * r - r * projected));
    }
  }
  return term;
}

void clear_row(const AdversarialLossArgs& args, std::int64_t row) {
  if (args.d_target_mode == GradMode::overwrite) std::fill_n(args.d_target + row * args.d_target_ld, args.cols, 0.0f);
  if (args.d_prediction_mode == GradMode::overwrite) std::fill_n(args.d_prediction + row * args.cols, args.cols, 0.0f);
}

}  // namespace

void adversarial_loss(const AdversarialLossArgs& args, Cpu) {
  const std::int64_t used = args.row_count ? std::clamp<std::int64_t>(*args.row_count, 0, args.rows) : args.rows;
  const float count = static_cast<float>(used * args.cols);
  const float mean = count > 0.0f ? -args.weight / count : 0.0f;
  const float factor = 2.0f * mean * (args.loss_scale ? *args.loss_scale : 1.0f);
  auto* terms = static_cast<float*>(args.workspace);
  parallel_for(
      args.rows,
      [&](std::int64_t row) {
        if (row < used) {
          terms[row] = row_term(args, row, factor);
        } else {
          clear_row(args, row);
        }
      },
      serial_below_for(6 * args.cols));
  *args.loss = mean * lane_sum(used, [&](std::int64_t row) { return terms[row]; });
}

std::size_t adversarial_loss_workspace(const AdversarialLossArgs& args) {
  return static_cast<std::size_t>(args.rows) * sizeof(float);
}

}  // namespace swath::kernels
