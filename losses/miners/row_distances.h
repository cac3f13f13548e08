// The distance matrix that miners start from (methods.md §4).
#pragma once
#include "losses/miner.h"

namespace swath {

/// f32 {R, R}; workspace that outlives only the call of the miner.
Tensor row_distances(const Tensor& rows);

}  // namespace swath
