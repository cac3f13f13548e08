// The memory bank of nca_loss: its initial rows, and its rows after a step. methods.md §6 "NCA with memory bank".
#pragma once
#include <cstdint>

#include "kernels/exec.h"

namespace swath::kernels {

/// Every element uniform in ±1/sqrt(cols / 3), from philox(seed, 0, RandomStream::bank, element / 4): rows of about unit
/// length, with the same bits on every device. A slice of a bank, from row `first` on, gets those rows' bits. Cost: writes the
/// bank once; a Philox block for 4 elements; 1 launch; no workspace.
struct BankInitArgs {
  void* bank = nullptr;  // rows × cols, f32 or bf16
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  DType bank_type = DType::f32;
  std::uint64_t seed = 0;
  std::int64_t first = 0;
};
void bank_init(const BankInitArgs& args, CudaStream exec);
void bank_init(const BankInitArgs& args, Cpu exec);

/// M_t(i) ← normalise(μ M_t(i) + (1 − μ) e_i), the length at least 1e-12. Of rows with the same t(i) the last one counts, and
/// starts from the bank's row as it was. A row whose t(i) is not a row of the bank (−1) changes nothing, nor one that is not of
/// the slice from row `first` on that is here.
/// Cost: reads batch rows of both and writes them (the second read comes from the cache), compares batch² / 2 indices; 1
/// launch; no workspace.
struct BankUpdateArgs {
  const float* embeddings = nullptr;    // batch × cols, rows embeddings_ld apart
  const std::int32_t* index = nullptr;  // batch: t(i)
  const float* momentum = nullptr;      // 1: μ
  void* bank = nullptr;                 // rows × cols, f32 or bf16
  std::int64_t batch = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t embeddings_ld = 0;
  DType bank_type = DType::f32;
  std::int64_t first = 0;
};
void bank_update(const BankUpdateArgs& args, CudaStream exec);
void bank_update(const BankUpdateArgs& args, Cpu exec);

}  // namespace swath::kernels

// Budget: bank_init_kernel 32 registers; bank_update_kernel 40 registers, 128-bit loads.
