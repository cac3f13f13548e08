// Neighbourhood component analysis against a memory bank, with its gradient. methods.md §6 "NCA with memory bank".
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// How CUDA multiplies with a f32 bank. `full`: every operand is split into two TF32 numbers and three products are summed in
/// f32, so that errors are those of a float loop. `tf32`: one product of operands rounded to 11 bits, a third of the work on
/// tensor cores; similarities of unit rows are then off by about 1e-4 / temperature · cols^-1/2.
enum class NcaMath : std::uint8_t { full, tf32 };

/// What one call does: all of it, or, where several devices hold a slice of the bank each, the sums of a slice, and then, from
/// those of all slices, the loss.
enum class NcaPart : std::uint8_t { whole, sums, loss };

/// s_ij = ⟨e_i, M_j⟩ / temperature, ℓ_ij = |y_t(i) ∧ y_j| / classes. Over j ≠ t(i): P_i = Σ exp(s_ij) ℓ_ij,
/// P'_i = P_i exp(−margin / temperature), Z'_i = Σ exp(s_ij) − P_i + P'_i; loss = −(1/B) Σ_{P_i > 0} log(P'_i / Z'_i).
/// B counts the rows in use: those whose index is a row of the bank. Others (−1) take no part and have gradient 0; no row in
/// use means loss 0. P_i and Z'_i have a running maximum each: no temperature overflows or loses them, as long as
/// margin / temperature is at most 80. `loss` is unscaled, the gradient is multiplied by *loss_scale.
///
/// Neither similarities nor label similarities are stored, and sums have one fixed order on each device. With a bf16 bank the
/// arithmetic is that on the rounded bank: the CPU widens it, CUDA splits embeddings and weights into two bf16 numbers each
/// (16 bits).
///
/// Slices: `bank` is `rows` rows of the whole, `labels` and `index` are the whole's. `sums` writes this slice's place in
/// slice_sums; once those of all slices are there, `loss` writes the loss of the whole bank, the same bits on every device, and
/// the slice's part of the gradient: the parts add up to it. The workspace stays as it is in between.
///
/// Cost: 6 · batch · rows · cols operations. CUDA: 4 launches (3 without a gradient); the bank is read twice from memory, by
/// every 64 rows of the batch for the sums and by every 32 for the gradient; the workspace holds `blocks` partial gradients of
/// 32 rows at most (35 MB at 512 columns). CPU: one pass over the bank in tiles of 128 rows that stay in the cache; the weights
/// of both sums go through one product; the workspace holds 64 tasks' sums of 128 rows at most (40 MB at 512 columns, 56 MB
/// with a bf16 bank). The query returns the larger of the two.
struct NcaLossArgs {
  const float* embeddings = nullptr;      // batch × cols, rows embeddings_ld apart
  const std::int32_t* index = nullptr;    // batch: t(i); a row with another number than 0 … rows − 1 is not in use
  const void* bank = nullptr;             // rows × cols, f32 or bf16
  const std::uint64_t* labels = nullptr;  // rows × label_words(classes), kernels/label_mask.h
  const float* loss_scale = nullptr;      // 1: factor of the gradient; null: 1
  float* loss = nullptr;                  // 1
  float* d_embeddings = nullptr;          // batch × cols, rows d_embeddings_ld apart
  std::int64_t batch = 0;
  std::int64_t rows = 0;  // N
  std::int64_t cols = 0;
  std::int64_t classes = 0;  // 1 … 256
  std::int64_t embeddings_ld = 0;
  std::int64_t d_embeddings_ld = 0;
  DType bank_type = DType::f32;
  float temperature = 0.05f;
  float margin = 0.0f;
  NcaMath math = NcaMath::full;
  // CUDA: blocks of a pass, about. One of 512 columns fills a multiprocessor: 528 are 4 rounds of them on an H100, 5 on an
  // A100.
  std::int64_t blocks = 528;
  GradMode d_embeddings_mode = GradMode::overwrite;
  NcaPart part = NcaPart::whole;
  // Slices only.
  std::int64_t all_rows = 0;    // of the whole bank
  std::int64_t first = 0;       // the slice's first row
  std::int64_t slices = 1;      // in the order of their rows
  std::int64_t slice = 0;       // this one's number
  float* slice_sums = nullptr;  // slices × batch × 4, aligned to 16: the largest s, Z' / exp(that), and the same of P
  void* workspace = nullptr;    // nca_loss_workspace(args) bytes, aligned to 64
};
void nca_loss(const NcaLossArgs& args, CudaStream exec);
void nca_loss(const NcaLossArgs& args, Cpu exec);
std::size_t nca_loss_workspace(const NcaLossArgs& args);

}  // namespace swath::kernels

// A slice's `sums` are the first of the two reads of its bank on CUDA, and 2 launches; on the CPU the whole pass.
//
// Budget: bank_kernel 128 registers, 151840 bytes dynamic shared, 128-bit loads, tensor cores; rows_kernel 32 registers,
// 128-bit loads; sum_kernel 40 registers, 144 bytes shared, 128-bit loads.
