// The plan of one training step without a device: the recipe's own code runs on a dry device, whose ledger this is.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/packed.h"
#include "engine/core/out_of_memory.h"
#include "engine/device/step_ledger.h"
#include "recipes/options.h"

namespace swath {

/// What a configuration leaves to the data. 0: the default.
struct StepSizes {
  std::int64_t rows = 0;        // images of the batch; what the sampler makes
  std::int64_t image_side = 0;  // data.image_size, or 120 for BigEarthNet and 256 otherwise
  std::int64_t bands = 0;       // 12 for BigEarthNet and 3 otherwise
  std::int64_t classes = 0;     // 19 or 43 for BigEarthNet, 60 otherwise
  std::int64_t images = 0;      // of the training split; 10,000, or what a batch needs
};

/// Equal calls of one pass and part are one line.
struct StepLine {
  std::string pass, part, kernel, shape, engine;
  std::int64_t calls = 0;
  kernels::Cost cost;  // of all of them
};

struct StepPlan {
  StepSizes sizes;        // the ones taken
  std::int64_t crop = 0;  // side
  std::int64_t parameters = 0;
  std::vector<StepLine> lines;  // in the order of the step
  /// Peak bytes of the pool by purpose, and of all together. Workspaces of cuDNN and cuBLASLt are not among them.
  std::vector<std::pair<std::string, std::size_t>> memory;
  std::size_t peak_memory = 0;
  /// What the pool holds from the driver after the step and a batch of a validation, cached blocks among it.
  std::size_t held_memory = 0;
};

/// The second step of a run, in which everything that the first one makes is there. D&C is in its divided stage, and its tag
/// is 0. Throws UserError for sizes that the configuration cannot have.
/// Convolutions have the names that `engines` gives them (engines_of), or none.
StepPlan plan_step(const TrainOptions& options, const StepSizes& sizes, const EngineOf& engines = {});

/// The largest number of images of a batch whose training holds at most `memory` bytes, beside the sizes of `sizes`; 0 when two
/// images are too many. The libraries' workspaces come on top.
std::int64_t largest_batch(const TrainOptions& options, const StepSizes& sizes, std::size_t memory);

/// The same of the images of `split`.
std::int64_t largest_batch(const TrainOptions& options, const PackedSplit& split, std::size_t memory);

/// What to do where a batch of at most `rows` images fits (largest_batch), without a full stop.
std::string remedy_of(std::int64_t rows);

/// The same error as a sentence that names the largest batch of `split` that would have fitted.
std::string with_remedy(const OutOfMemory& full, const TrainOptions& options, const PackedSplit& split);

}  // namespace swath
