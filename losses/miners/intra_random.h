// Triplets within one class, DiVA's "intra" feature (T. Milbich et al., 2020; methods.md §5).
#pragma once
#include "losses/miner.h"

namespace swath {

class IntraRandomMiner : public Miner {
 public:
  Triplets mine(const MineInput& input) override;
};

}  // namespace swath
