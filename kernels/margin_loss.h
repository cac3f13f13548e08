// Margin loss over triplets of rows, with its gradients. methods.md §6 "Margin".
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// Whether β is one number or one per class (then an anchor's class chooses it).
enum class MarginBeta : std::uint8_t { scalar, per_class };

/// A fixed β has no gradient and no regularisation term.
enum class MarginBetaUpdate : std::uint8_t { trained, fixed };

/// With d = sqrt(|·|² + 1e-8), l⁺ = max(0, d_ap − β + m), l⁻ = max(0, β − d_an + m) and A the triplets where either is > 0:
/// loss = (Σ l⁺ + l⁻ + ν |β|₁) / A, 0 when A = 0. |β|₁ is |β| for a scalar, else the sum of |β| of the anchor's class over
/// all triplets. A is a constant to the gradient; at |β| = 0 the derivative is 0. `loss` is unscaled; gradients are multiplied
/// by *loss_scale. Sums have one fixed order on each device (no float atomics).
/// Cost: reads 3 × cols floats a triplet twice, writes rows × cols; the triplet list is read once per row (and once per class,
/// per_class) from cache; 2 launches; workspace 16 bytes a triplet.
struct MarginLossArgs {
  const float* x = nullptr;                     // rows × cols, rows x_ld apart
  const std::int32_t* row_class = nullptr;      // rows; only read for MarginBeta::per_class
  const std::int32_t* triplets = nullptr;       // capacity × 3: anchor, positive, negative
  const std::int32_t* triplet_count = nullptr;  // 1: triplets in use; null: all
  const float* beta = nullptr;                  // 1, or classes
  const float* loss_scale = nullptr;            // 1: factor of the gradients; null: 1
  float* loss = nullptr;                        // 1
  float* active = nullptr;                      // 1: A, as a float; may be null
  float* d_x = nullptr;                         // rows × cols, rows d_x_ld apart
  float* d_beta = nullptr;                      // 1, or classes
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t x_ld = 0;
  std::int64_t d_x_ld = 0;
  std::int64_t capacity = 0;
  std::int64_t classes = 0;
  float margin = 0.2f;
  float nu = 0.1f;
  MarginBeta beta_kind = MarginBeta::scalar;
  MarginBetaUpdate beta_update = MarginBetaUpdate::trained;
  GradMode d_x_mode = GradMode::overwrite;
  GradMode d_beta_mode = GradMode::overwrite;  // a fixed β has gradient 0
  void* workspace = nullptr;                   // margin_loss_workspace(args) bytes, aligned to 16
};
void margin_loss(const MarginLossArgs& args, CudaStream exec);
void margin_loss(const MarginLossArgs& args, Cpu exec);
std::size_t margin_loss_workspace(const MarginLossArgs& args);

}  // namespace swath::kernels

// Budget: margin_terms_kernel 48 registers, 128-bit loads; margin_gradient_kernel 56 registers, 792 bytes shared, 128-bit
// loads.
