// Semihard mining (F. Schroff et al., FaceNet, 2015; methods.md §5).
#pragma once
#include "losses/miner.h"

namespace swath {

class SemihardMiner : public Miner {
 public:
  Triplets mine(const MineInput& input) override;
};

}  // namespace swath
