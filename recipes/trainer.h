// Trains a recipe on packed data: epochs, validation, log, checkpoints, exact resume (methods.md §3, §7, §8).
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/pack.h"
#include "recipes/metric_log.h"
#include "recipes/recipe.h"
#include "recipes/run_dir.h"
#include "recipes/step.h"

namespace swath {

struct TrainProgress {
  std::int64_t epoch = 0, epochs = 0;   // epoch under way, from 0
  std::int64_t batch = 0, batches = 0;  // batches done of this epoch
  std::uint64_t step = 0;               // steps done
  double loss = 0;
  double images_per_second = 0;  // since the last report
  double waiting_share = 0;      // share of time spent waiting for data, since the last report
  double seconds = 0, eta_seconds = 0;
  std::size_t memory_bytes = 0;  // held by the device's pool
};

struct ValidationReport {
  std::int64_t epoch = 0;  // epochs done; 0: untrained
  std::uint64_t step = 0;
  std::string part;
  MetricTable table;              // as validation.retrieval asks
  std::optional<double> overlap;  // of distances
  double seconds = 0;
  bool best = false;  // the highest Recall@1 so far of the split that chooses
};

/// What the caller wants to hear, and how it asks for a stop. All may be empty.
struct TrainHooks {
  std::function<void(const TrainProgress&)> progress;
  std::function<void(const ValidationReport&)> validated;
  const std::atomic<bool>* stop = nullptr;
};

struct TrainResult {
  std::uint64_t steps = 0;
  std::optional<ValidationReport> untrained, best, last;
  std::string best_checkpoint, last_checkpoint;
  double seconds = 0;
};

class Trainer {
 public:
  /// Builds model, loss and optimiser for the training split of `data`; a run folder with a checkpoint is continued.
  /// All references must outlive the trainer. Of several ranks each has a trainer with the same options and data; rank 0 writes
  /// the run folder, which the others have joined; they serve the device. Throws UserError, also on ranks that disagree;
  /// DataError, DeviceError.
  Trainer(Device& device, const TrainOptions& options, const PackedSet& data, RunDir& run, Communicator& ranks = sole_rank());
  ~Trainer();

  /// Trains up to options.epochs. Saves and throws Preempted when hooks.stop becomes true; throws NanError for a loss that
  /// is not finite (the last checkpoint stays). When a rank is lost, the first of the others saves, and all throw RankError.
  TrainResult run(const TrainHooks& hooks = {});

  /// Parameters that are trained, and those that stay as they are.
  std::int64_t parameter_count() const;
  std::int64_t frozen_parameter_count() const;
  /// Steps done, those of a continued run included.
  std::uint64_t steps_done() const;
  ParameterBlock& block();
  Recipe& recipe();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace swath
