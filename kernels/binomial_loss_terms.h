// What binomial_loss computes per pair and how it uses its workspace, the same on host and device. methods.md §6.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/binomial_loss.h"
#include "kernels/logistic.h"

namespace swath::kernels {

constexpr std::int64_t kBinomialTile = 64;     // rows of either side of the pairs that one task handles
constexpr float kBinomialSlopeFloor = 1e-30f;  // smaller slopes count as 0: products of denormal numbers are slow

/// What one tile of pairs adds to the loss, and to Σ ∂loss/∂S.
struct BinomialPartial {
  float loss, slope;
};

SWATH_HOST_DEVICE std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

/// Where the parts of the workspace start, in bytes; multiples of 16.
struct BinomialLayout {
  std::int64_t tiles;    // groups of kBinomialTile rows
  std::int64_t ld;       // floats between two rows of slopes
  std::int64_t partial;  // the counts of rows come before
  std::int64_t slope;
  std::int64_t bytes;
};
SWATH_HOST_DEVICE BinomialLayout binomial_layout(const BinomialLossArgs& args) {
  BinomialLayout l{};
  l.tiles = round_up(args.rows, kBinomialTile) / kBinomialTile;
  l.ld = round_up(args.rows, 16);
  l.partial = l.ld * static_cast<std::int64_t>(sizeof(std::int32_t));
  l.slope = l.partial + round_up(l.tiles * l.tiles, 2) * static_cast<std::int64_t>(sizeof(BinomialPartial));
  l.bytes = l.slope + args.learners * args.rows * l.ld * static_cast<std::int64_t>(sizeof(float));
  return l;
}

struct BinomialWorkspace {
  std::int32_t* same;        // rows: rows of the same class, the row itself counted; 0 for rows that take no part
  BinomialPartial* partial;  // tiles × tiles, where the second index is at least the first
  float* slope;              // learners × rows × ld: ∂loss/∂S_k
  std::int64_t tiles, ld;
};
SWATH_HOST_DEVICE BinomialWorkspace binomial_workspace(const BinomialLossArgs& args) {
  const BinomialLayout l = binomial_layout(args);
  char* base = static_cast<char*>(args.workspace);
  return {reinterpret_cast<std::int32_t*>(base), reinterpret_cast<BinomialPartial*>(base + l.partial),
          reinterpret_cast<float*>(base + l.slope), l.tiles, l.ld};
}

/// A_k = keep A_{k−1} + gain a_k for learner k, counted from 0.
struct BoostingStep {
  float keep, gain;
};
SWATH_HOST_DEVICE BoostingStep boosting_step(Boosting boosting, std::int64_t k) {
  if (boosting == Boosting::additive) return {1.0f, 0.06f};
  const float eta = 2.0f / static_cast<float>(k + 2);
  return {1.0f - eta, eta};
}
SWATH_HOST_DEVICE float boosting_start(Boosting boosting) { return boosting == Boosting::additive ? 0.5f : 0.0f; }

/// What pairs of one kind, same or different label, have in common.
struct BinomialKind {
  float factor;  // α m
  float weight;  // W / K
  float boost;   // factor of every boosting weight but the first
};
struct BinomialKinds {
  BinomialKind same, different;
};

/// `same` of the `rows`² pairs are of one class.
SWATH_HOST_DEVICE BinomialKinds binomial_kinds(const BinomialLossArgs& args, std::int64_t rows, std::int64_t same) {
  const std::int64_t different = rows * rows - same;
  const auto learners = static_cast<float>(args.learners);
  const auto weight = [learners](std::int64_t pairs) {
    return pairs > 0 ? 1.0f / (learners * static_cast<float>(pairs)) : 0.0f;
  };
  const float different_boost = args.boosting == Boosting::additive ? 2.0f : 1.0f;
  return {{args.alpha, weight(same), 1.0f}, {-args.alpha * args.cost, weight(different), different_boost}};
}

struct BinomialTerm {
  float loss;   // of this learner
  float slope;  // ∂loss/∂S_k
};

/// Learner k's score of a pair; with weight 0 both parts of the term are 0. `ensemble` is A_{k−1} and becomes A_k, `boost` is
/// w_k and becomes w_{k+1}.
SWATH_HOST_DEVICE BinomialTerm binomial_term(const BinomialKind& kind, float beta, BoostingStep step, float score,
                                             float& ensemble, float& boost) {
  const float a = (score - beta) * kind.factor, weight = boost * kind.weight;
  const Logistic l = logistic(-a);
  ensemble = step.keep * ensemble + step.gain * a;
  boost = sigmoid(-ensemble) * kind.boost;
  const float slope = -weight * l.sigmoid * kind.factor;
  return {weight * l.softplus, std::fabs(slope) < kBinomialSlopeFloor ? 0.0f : slope};
}

}  // namespace swath::kernels
