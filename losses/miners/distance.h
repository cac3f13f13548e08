// Distance-weighted mining (C.-Y. Wu et al., Sampling Matters, 2017; methods.md §5).
#pragma once
#include "kernels/philox.h"
#include "losses/miner.h"

namespace swath {

/// Triplets for any labels of the rows; `row_class` stands for that of the input. The random numbers come from `stream`.
Triplets mine_by_distance(const MineInput& input, const Tensor& row_class, const MinerOptions& options,
                          kernels::RandomStream stream);

class DistanceMiner : public Miner {
 public:
  explicit DistanceMiner(const MinerOptions& options) : options_(options) {}
  Triplets mine(const MineInput& input) override;

 private:
  MinerOptions options_;
};

}  // namespace swath
