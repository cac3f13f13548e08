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

SWATH_HOST_DEVICE BceTerm bce_term(float x, bool y) {
  const Logistic l = logistic(x);
  const float above = x < 0.0f ? l.lower : l.upper, below = x < 0.0f ? l.upper : l.lower;
  // max(x, 0) − x y is |x| where sign and label disagree, else 0.
  const float wrong = (x > 0.0f) == y ? 0.0f : (x < 0.0f ? -x : x);
  return {wrong + l.log_term, y ? -below : above};
}

}  // namespace swath::kernels
