// Pulls the rows of weight matrices to unit length and keeps biases within it, with the gradients. methods.md §7 "BIER".
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// One linear layer. Its share of the loss is factor · [mean over rows of (|w|² − 1)² + max(0, |b|² − 1)], without the second
/// term when `bias` is null.
struct WeightNormLayer {
  const float* weight = nullptr;  // rows × cols
  const float* bias = nullptr;    // rows, or null
  float* d_weight = nullptr;      // rows × cols
  float* d_bias = nullptr;        // rows
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  float factor = 1.0f;  // 1 / number of owners (regressors or heads)
  GradMode d_weight_mode = GradMode::overwrite;
  GradMode d_bias_mode = GradMode::overwrite;
};

constexpr int kWeightNormLayers = 32;

/// loss = Σ over the layers. Gradients are multiplied by *loss_scale; at |b|² = 1 the bias's is 0. Sums have one fixed order.
/// Cost: reads every weight twice (the second time from cache), writes its gradient; 4 operations an element; 2 launches for
/// all layers; workspace 4 bytes a row and 4 a layer.
struct WeightNormLossArgs {
  std::array<WeightNormLayer, kWeightNormLayers> layers{};
  std::int64_t layer_count = 0;       // ≤ kWeightNormLayers
  const float* loss_scale = nullptr;  // 1: factor of the gradients; null: 1
  float* loss = nullptr;              // 1; null: not wanted
  void* workspace = nullptr;          // weight_norm_loss_workspace(args) bytes, aligned to 4
};
void weight_norm_loss(const WeightNormLossArgs& args, CudaStream exec);
void weight_norm_loss(const WeightNormLossArgs& args, Cpu exec);
std::size_t weight_norm_loss_workspace(const WeightNormLossArgs& args);

}  // namespace swath::kernels

// Budget: weight_norm_rows_kernel 48 registers; weight_norm_sum_kernel 32 registers, 132 bytes shared.
