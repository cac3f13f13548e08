// The terms of bce_loss, the same on host and device, and how its sum is cut into parts.
#pragma once
#include <cstdint>

#include "kernels/bce_loss.h"
#include "kernels/logistic.h"

namespace swath::kernels {

constexpr std::int64_t kBceChunkRows = 16;      // CPU: rows of one partial sum
constexpr std::int64_t kBceMaxPartials = 1024;  // CUDA: blocks of the first launch

struct BceTerm {
  float loss, slope;
};

/// A label turns its logit round: −log σ(x) is softplus(−x), σ(x) − 1 is −σ(−x). `sign` is −1 where the label is set, else 1.
SWATH_HOST_DEVICE BceTerm bce_term(float x, float sign) {
  const Logistic l = logistic(sign * x);
  return {l.softplus, sign * l.sigmoid};
}

}  // namespace swath::kernels
