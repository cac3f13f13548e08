// The numbers of one pair and one row of nca_loss, the same on host and device. methods.md §6 "NCA with memory bank".
#pragma once
#include <cmath>
#include <cstdint>
#include <stdexcept>

#include "kernels/half.h"
#include "kernels/label_mask.h"
#include "kernels/nca_loss.h"

namespace swath::kernels {

constexpr std::int64_t kNcaMaxWords = 4;  // label words of a row

/// What only a programmer can get wrong.
inline void check_nca_arguments(const NcaLossArgs& args) {
  if (args.bank_type != DType::f32 && args.bank_type != DType::bf16) throw std::invalid_argument("the bank is f32 or bf16");
  if (args.classes < 1 || label_words(args.classes) > kNcaMaxWords)
    throw std::invalid_argument("nca_loss takes 1 to 256 classes");
  if (args.part == NcaPart::whole) return;
  if (!args.slice_sums || args.slice < 0 || args.slice >= args.slices || args.first < 0 ||
      args.first + args.rows > args.all_rows)
    throw std::invalid_argument("a slice of the bank lies outside it");
}

/// Rows of the whole bank, which the batch's index names.
inline std::int64_t nca_bank_rows(const NcaLossArgs& args) { return args.part == NcaPart::whole ? args.rows : args.all_rows; }
inline std::int64_t nca_first_row(const NcaLossArgs& args) { return args.part == NcaPart::whole ? 0 : args.first; }

/// From k common labels: ℓ = k · label, and Z' = Σ exp(s) (1 − ℓ + ℓ exp(−margin / T)) = Σ exp(s) ((classes − k) · label + k ·
/// kept), written without a difference of nearly equal sums.
struct NcaFactors {
  float inv_temperature, log_kept;  // 1 / T, margin / T
  float classes, label, kept;

  SWATH_HOST_DEVICE float total(float common) const { return (classes - common) * label + common * kept; }
  SWATH_HOST_DEVICE float positive(float common) const { return common * label; }
};

SWATH_HOST_DEVICE NcaFactors nca_factors(const NcaLossArgs& args) {
  const float classes = static_cast<float>(args.classes), inv_temperature = 1.0f / args.temperature;
  const float log_kept = args.margin * inv_temperature;
  return {inv_temperature, log_kept, classes, 1.0f / classes, std::exp(-log_kept) / classes};
}

/// Z' and P of a row, each as sum · exp(shift) with shift the largest s that took part.
struct alignas(16) NcaSums {
  float shift, total;
  float positive_shift, positive;

  SWATH_HOST_DEVICE bool empty() const { return shift == -INFINITY; }
};

/// The sums of the batch's rows in a slice of the bank.
SWATH_HOST_DEVICE NcaSums* nca_slice_sums(const NcaLossArgs& args, std::int64_t slice) {
  return reinterpret_cast<NcaSums*>(args.slice_sums) + slice * args.batch;
}

SWATH_HOST_DEVICE NcaSums nca_no_sums() { return {-INFINITY, 0.0f, -INFINITY, 0.0f}; }

/// The number of exp(other_shift) that fit an accumulator with `shift`, the larger of the two; no NaN from two −∞.
SWATH_HOST_DEVICE float nca_rescale(float shift, float larger) { return shift == -INFINITY ? 0.0f : std::exp(shift - larger); }

SWATH_HOST_DEVICE NcaSums nca_merge(const NcaSums& a, const NcaSums& b) {
  const float shift = a.shift < b.shift ? b.shift : a.shift;
  const float positive_shift = a.positive_shift < b.positive_shift ? b.positive_shift : a.positive_shift;
  return {
      shift, a.total * nca_rescale(a.shift, shift) + b.total * nca_rescale(b.shift, shift), positive_shift,
      a.positive * nca_rescale(a.positive_shift, positive_shift) + b.positive * nca_rescale(b.positive_shift, positive_shift)};
}

/// Whether the row is one of the loss's sum. A NaN counts, so that it reaches the loss, where the trainer sees it.
SWATH_HOST_DEVICE bool nca_takes_part(const NcaSums& sums) { return !(sums.positive <= 0.0f); }

/// −log(P' / Z').
SWATH_HOST_DEVICE float nca_row_loss(const NcaFactors& factors, const NcaSums& sums) {
  if (!nca_takes_part(sums)) return 0.0f;
  return (sums.shift - sums.positive_shift) + (std::log(sums.total) - std::log(sums.positive)) + factors.log_kept;
}

}  // namespace swath::kernels
