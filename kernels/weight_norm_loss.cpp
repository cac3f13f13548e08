// Weight-norm regularisers on the CPU. methods.md §7 "BIER".
#include "kernels/weight_norm_loss.h"

#include "kernels/lanes.h"
#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

/// Writes factor · x to d, or adds it.
void write_gradient(GradMode mode, float* d, float factor, const float* x, std::int64_t n) {
  if (mode == GradMode::overwrite) {
    for (std::int64_t k = 0; k < n; ++k) d[k] = factor * x[k];
  } else if (mode == GradMode::accumulate) {
    for (std::int64_t k = 0; k < n; ++k) d[k] += factor * x[k];
  }
}

float square_sum(const float* x, std::int64_t n) {
  return lane_sum(n, [&](std::int64_t k) { return x[k] * x[k]; });
}

float weight_loss(const WeightNormLayer& layer, float scale, float* terms) {
  const float each = layer.factor / static_cast<float>(layer.rows);
  parallel_for(
      layer.rows,
      [&](std::int64_t r) {
        const float* w = layer.weight + r * layer.cols;
        const float excess = square_sum(w, layer.cols) - 1.0f;
        terms[r] = excess * excess;
        float* d_w = layer.d_weight_mode == GradMode::skip ? nullptr : layer.d_weight + r * layer.cols;
        write_gradient(layer.d_weight_mode, d_w, scale * each * 4.0f * excess, w, layer.cols);
      },
      serial_below_for(2 * layer.cols));
  return each * lane_sum(layer.rows, [&](std::int64_t r) { return terms[r]; });
}

float bias_loss(const WeightNormLayer& layer, float scale) {
  const float excess = square_sum(layer.bias, layer.rows) - 1.0f;
  write_gradient(layer.d_bias_mode, layer.d_bias, excess > 0.0f ? scale * layer.factor * 2.0f : 0.0f, layer.bias, layer.rows);
  return excess > 0.0f ? layer.factor * excess : 0.0f;
}

}  // namespace

void weight_norm_loss(const WeightNormLossArgs& args, Cpu) {
  const float scale = args.loss_scale ? *args.loss_scale : 1.0f;
  float loss = 0.0f;
  for (std::int64_t l = 0; l < args.layer_count; ++l) {
    const WeightNormLayer& layer = args.layers[static_cast<std::size_t>(l)];
    if (layer.rows == 0) continue;
    loss += weight_loss(layer, scale, static_cast<float*>(args.workspace));
    if (layer.bias) loss += bias_loss(layer, scale);
  }
  if (args.loss) *args.loss = loss;
}

std::size_t weight_norm_loss_workspace(const WeightNormLossArgs& args) {
  std::int64_t rows = 0;
  for (std::int64_t l = 0; l < args.layer_count; ++l) rows += args.layers[static_cast<std::size_t>(l)].rows + 1;
  return static_cast<std::size_t>(rows) * sizeof(float);
}

}  // namespace swath::kernels
