// A recipe is a training method: its network, its batches, its objective and the state it keeps (methods.md §7).
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/packed.h"
#include "data/sampler.h"
#include "engine/autograd/nn_ops.h"
#include "engine/dist/communicator.h"
#include "engine/io/checkpoint.h"
#include "recipes/batch_views.h"
#include "recipes/options.h"

namespace swath {

/// What a recipe is built from. The parameter block is not allocated yet.
struct RecipeContext {
  Device& device;
  ParameterBlock& block;
  const TrainOptions& options;
  const PackedSplit& train;
  Communicator& ranks = sole_rank();
};

/// A batch on the device. Of several ranks each holds the images of its slice (Tape::share) and the labels of all N: an
/// objective embeds its own images, brings the embeddings together with gather_ranks, and goes on as if they had all been here.
struct DeviceBatch {
  Tensor images;         // n×crop×crop×C, standardised, f32, bf16 or f16
  BatchViews views;      // further views of the same images
  Tensor labels;         // u64 {N, words}
  Tensor index;          // i32 {N}: rows of the training split; only for recipes that ask for it
  std::int64_t tag = 0;  // SampledBatch::tag
  RandomKey random;      // its first_row is that of `images`
};

/// The scalar to minimise, and scalars (f32 or i32 {1} on the device) to log beside it.
struct Objective {
  Var loss;
  std::vector<std::pair<std::string, Tensor>> statistics;
};

class Recipe {
 public:
  virtual ~Recipe() = default;

  /// The sampler of the training split, fixed for the life of the recipe.
  virtual Sampler& sampler() = 0;
  /// Before the first batch of an epoch.
  virtual void begin_epoch(std::int64_t /*epoch*/) {}
  /// Whether objective() reads DeviceBatch::index.
  virtual bool needs_index() const { return false; }
  virtual Objective objective(Tape& tape, const DeviceBatch& batch) = 0;
  /// Names of the scalars of Objective::statistics, the same at every step.
  virtual std::vector<std::string> statistic_names() const = 0;
  /// After the optimiser's step. On a GPU this and objective() are recorded once for each number of rows and tag, and replayed
  /// (docs/cuda-step.md): what changes from step to step is read from device memory, and nothing waits for the device.
  virtual void after_step() {}
  /// Changes whenever those two would queue other work for the same rows and tag: what was recorded before is dropped.
  virtual std::uint64_t phase() const { return 0; }
  /// N×D embeddings (f32) for evaluation; the tape is in its evaluation phase.
  virtual Tensor embed(Tape& tape, const Tensor& images) = 0;
  virtual std::int64_t embedding_width() const = 0;
  /// State beyond the parameter block (bank, queue, clusters …).
  virtual void visit_state(StateVisitor& /*visitor*/) {}

  /// Of state that is spread over the ranks: as of a Loss.
  virtual bool holds_all_state() const { return true; }
  virtual void gather_state() {}
  virtual void drop_gathered() {}
  virtual void spread_state() {}
};

/// Throws UserError for an unknown name, listing those that exist.
std::unique_ptr<Recipe> make_recipe(const RecipeContext& context);

}  // namespace swath
