// A loss on the rows of a batch, with triplets that the configured miner finds among them where the loss reads triplets
// (methods.md §7, baseline and D&C).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "losses/loss_choice.h"
#include "losses/miner.h"
#include "recipes/recipe.h"

namespace swath {

class BatchLoss {
 public:
  /// Throws UserError for margin.class_specific with a miner of multi-hot rows, which have no one class.
  BatchLoss(const TrainOptions& options, std::int64_t classes);

  /// Whether the loss reads DeviceBatch::index.
  bool needs_index() const { return index_; }
  /// The loss of the batch's embedding (N×D, row i of image i), with what it reports: on rows of one category, drawn from the
  /// batch, or on the images themselves. `loss` is of the kind that options.loss names.
  Objective objective(Tape& tape, const DeviceBatch& batch, const Var& embedding, Loss& loss) const;
  /// Names of the scalars of Objective::statistics.
  std::vector<std::string> statistic_names() const;

 private:
  Objective on_pair_rows(Tape& tape, const DeviceBatch& batch, const Var& embedding, Loss& loss) const;
  Objective on_images(Tape& tape, const DeviceBatch& batch, const Var& embedding, Loss& loss) const;

  std::int64_t classes_, rows_per_class_;
  LossRows rows_;
  bool index_;
  std::unique_ptr<Miner> miner_;  // null where the loss reads no triplets
};

}  // namespace swath
