// Margin loss on triplets that the configured miner finds among a batch's rows (methods.md §7, baseline and D&C).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "losses/margin.h"
#include "losses/miner.h"
#include "recipes/recipe.h"

namespace swath {

class MinedMargin {
 public:
  /// Throws UserError for margin.class_specific with a miner of multi-hot rows, which have no one class.
  MinedMargin(const TrainOptions& options, std::int64_t classes);

  /// The loss of the batch's embedding (N×D, row i of image i), with what it reports: of triplets of rows of one category,
  /// drawn from the batch, or of the images themselves.
  Objective objective(Tape& tape, const DeviceBatch& batch, const Var& embedding, MarginLoss& loss) const;
  /// Names of the scalars of Objective::statistics.
  std::vector<std::string> statistic_names() const;

 private:
  Objective on_pair_rows(Tape& tape, const DeviceBatch& batch, const Var& embedding, MarginLoss& loss) const;
  Objective on_images(Tape& tape, const DeviceBatch& batch, const Var& embedding, MarginLoss& loss) const;

  std::int64_t classes_, rows_per_class_;
  std::unique_ptr<Miner> miner_;
};

}  // namespace swath
