// Boosted binomial deviance over the sub-embeddings of an ensemble, with its gradients. methods.md §6 "Binomial deviance,
// boosted".
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

constexpr std::int64_t kMaxLearners = 8;

/// How a pair's scores under the learners so far weigh it for the next one.
/// eta: A_k = (1−η_k) A_{k−1} + η_k a_k from 0, η_k = 2/(k+1); w_{k+1} = σ(−A_k).
/// additive: A_k = A_{k−1} + 0.06 a_k from 0.5; w_{k+1} = σ(−A_k) · (1 same label, 2 different).
enum class Boosting : std::uint8_t { eta, additive };

/// A fixed β has no gradient and no regularisation term.
enum class BinomialBetaUpdate : std::uint8_t { trained, fixed };

/// Rows of class −1 take no part; their values must be finite. Over the pairs (i, j) of the other rows, with S_k = f_k f_kᵀ,
/// m = 1 for one class and −cost for two, a_k = α (S_k − β) m, and W = 0 for i = j, else 1/#same or 1/#different (#same counts
/// i = j): loss = Σ_k [ (1/K) Σ_ij softplus(−a_k) w_k W + ν|β| ], w_1 = 1, w_{k+1} from a_1 … a_k and constant to the gradient.
/// At β = 0 the derivative of |β| is 0. Slopes ∂loss/∂S below 1e-30 count as 0. `loss` is unscaled; gradients are multiplied by
/// *loss_scale. Sums have one fixed order on each device (no float atomics); full float32.
/// Cost, D = Σ widths: rows² · D / 2 multiply-adds for S (the matrix is symmetric) and rows² · D for d_x, about 100 operations
/// for each of rows² · K / 2 scores; reads x 2 ⌈rows / 64⌉ times from cache, writes rows² · K floats once and reads them once;
/// 3 launches, 35 KB of shared memory; workspace 4 rows² · K bytes and little more.
struct BinomialLossArgs {
  const float* x = nullptr;                 // rows × Σ widths, rows x_ld apart: the learners side by side, each a unit row
  const std::int32_t* row_class = nullptr;  // rows: class, or −1
  const std::int32_t* row_count = nullptr;  // 1: rows in use (they come first); null: all
  const float* beta = nullptr;              // 1
  const float* loss_scale = nullptr;        // 1: factor of the gradients; null: 1
  float* loss = nullptr;                    // 1
  float* d_x = nullptr;                     // rows × Σ widths, rows d_x_ld apart
  float* d_beta = nullptr;                  // 1
  std::int64_t widths[kMaxLearners] = {};   // of the first `learners`, each at least 1
  std::int64_t learners = 0;                // K, 1 … kMaxLearners
  std::int64_t rows = 0;
  std::int64_t x_ld = 0;
  std::int64_t d_x_ld = 0;
  float alpha = 2.0f;
  float cost = 25.0f;
  float nu = 0.1f;
  Boosting boosting = Boosting::eta;
  BinomialBetaUpdate beta_update = BinomialBetaUpdate::trained;
  GradMode d_x_mode = GradMode::overwrite;
  GradMode d_beta_mode = GradMode::overwrite;  // a fixed β has gradient 0
  void* workspace = nullptr;                   // binomial_loss_workspace(args) bytes, aligned to 16
};
void binomial_loss(const BinomialLossArgs& args, CudaStream exec);
void binomial_loss(const BinomialLossArgs& args, Cpu exec);
std::size_t binomial_loss_workspace(const BinomialLossArgs& args);

}  // namespace swath::kernels

// Budget: binomial_count_kernel 32 registers; binomial_pairs_kernel 128 registers, 34960 bytes shared, 128-bit loads;
// binomial_gradient_kernel 96 registers, 17408 bytes shared, 128-bit loads.
