// Distance-weighted mining with permuted labels, DiVA's "shared" feature (T. Milbich et al., 2020; methods.md §5).
#pragma once
#include "losses/miner.h"

namespace swath {

class RandomDistanceMiner : public Miner {
 public:
  explicit RandomDistanceMiner(const MinerOptions& options) : options_(options) {}
  Triplets mine(const MineInput& input) override;

 private:
  MinerOptions options_;
};

}  // namespace swath
