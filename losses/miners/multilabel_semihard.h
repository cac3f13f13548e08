// Multi-label semihard mining: fine and coarse negatives by the number of shared labels (methods.md §5).
#pragma once
#include "losses/miner.h"

namespace swath {

class MultilabelSemihardMiner : public Miner {
 public:
  explicit MultilabelSemihardMiner(const MinerOptions& options) : options_(options) {}
  bool multi_hot() const override { return true; }
  /// Reads rows and labels; row_count may be left out when all rows are in use. With options.capacity 0 there is room for
  /// rows · min(rows, 512) triplets: batches with UC Merced's labels (17 classes) of 34 to 512 rows yielded 0.65 · rows² of
  /// them at the most.
  Triplets mine(const MineInput& input) override;

 private:
  MinerOptions options_;
};

}  // namespace swath
