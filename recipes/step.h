// One training step: standardise, forward, loss, backward, update; and the ring of statistics that is read every few steps.
#pragma once
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"
#include "engine/dist/gradient_buckets.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/step_scalars.h"
#include "recipes/recipe.h"

namespace swath {

/// What one step reported.
struct StepStatistics {
  std::uint64_t step = 0;
  std::vector<float> values;  // as TrainStep::names()
};

/// Steps of one shape queue the same work.
struct StepShape {
  std::int64_t rows = 0;
  std::int64_t tag = 0;  // SampledBatch::tag
  auto operator<=>(const StepShape&) const = default;
};

/// On a device that captures, unless options.graph is off: the first step of a shape runs eagerly, the second is recorded, and
/// from then on that shape is one launch with the same bits. What cannot be recorded runs eagerly, after one warning.
///
/// Of several ranks a step is two parts: up to the last sum over ranks, and the update, which is not queued before the sums are
/// known to be done. So a step that a lost rank leaves unfinished has changed nothing but running statistics, and they are
/// kept. On a GPU the update of a replayed step is queued when the next one has been loaded, or when the device is waited for.
class TrainStep {
 public:
  /// `log_every` is the capacity of the statistics ring. All references must outlive the step.
  TrainStep(Device& device, Recipe& recipe, ParameterBlock& block, Optimizer& optimizer, StepScalars& scalars,
            const TrainOptions& options, const PackedSplit& split, Communicator& ranks = sole_rank());

  /// Queues the step scalars.step() on the batch. Does not wait for it, only for the batch to be copied: its memory may be
  /// reused. Of several ranks, waits for the sums of the step before.
  void run(const Batch& batch);
  /// Waits for the device; the statistics of the steps since the last call, in order.
  std::vector<StepStatistics> drain();
  /// Names of StepStatistics::values.
  const std::vector<std::string>& names() const { return names_; }

  /// What goes on from step to step beside parameters and moments.
  void visit_state(StateVisitor& visitor) {
    if (loss_scale_) loss_scale_->visit_state(visitor);
  }

  /// The graph that replays steps of this shape; null while they run eagerly.
  const DeviceGraph* graph(const StepShape& shape) const;
  /// Of several ranks, that of the update.
  const DeviceGraph* update_graph(const StepShape& shape) const;
  /// Forgets what was recorded.
  void drop_graphs();

  /// After RankError: the state is again that before a step whose sums were not done. Whether run() had returned from it.
  bool take_back();

 private:
  /// The batch at addresses that stay the same from step to step. On a GPU the next batch's pixels arrive in `next` while
  /// the step under way works on `pixels`.
  struct Input {
    Tensor pixels, next, labels, index;
  };
  /// A shape that ran once; from its second step on with the graphs that replay it.
  struct Recorded {
    std::unique_ptr<DeviceGraph> step, update;  // update null: it is part of the step
  };
  /// Queues the step on the input.
  void queue(const StepShape& shape);
  /// Its part up to the gradients, summed over ranks.
  Objective queue_gradients(const StepShape& shape);
  void queue_update(const Objective& objective);
  Objective forward(Tape& tape, const DeviceBatch& batch);
  void backward(Tape& tape, const Objective& objective, const StepShape& shape);
  void update();
  void report(const Objective& objective);
  /// Queues the update that the step before owes, once its sums are done.
  void finish();
  void start_pixels(const Batch& batch);
  void load(const Batch& batch);
  void replay(const StepShape& shape);
  void warm_up(const StepShape& shape);
  /// Whether it was recorded; if not, after a warning, it is not tried again.
  bool capture(const StepShape& shape, Recorded& recorded);

  Device& device_;
  Recipe& recipe_;
  ParameterBlock& block_;
  Optimizer& optimizer_;
  StepScalars& scalars_;
  const TrainOptions& options_;
  const PackedSplit& split_;
  Communicator& ranks_;
  std::unique_ptr<GradientBuckets> buckets_;  // null: this is the only rank
  std::int64_t crop_, max_rows_;
  std::vector<std::string> names_;
  std::unique_ptr<LossScale> loss_scale_;  // null unless activations are f16
  Tensor ring_;
  Input input_;
  std::unique_ptr<HostCopies> copies_;  // null on the CPU
  std::vector<std::int32_t> index_;
  std::vector<std::uint64_t> pending_;
  std::unique_ptr<PoolArena> arena_;  // of the graphs' memory; null where steps always run eagerly
  std::map<StepShape, Recorded> graphs_;
  DeviceGraph* owed_ = nullptr;  // an update to be queued when the sums before it are done
  Tensor statistics_before_;     // running ones before the step under way; of several ranks
  bool under_way_ = false;       // sums are queued and their update is not
  std::uint64_t phase_;
  bool warned_ = false;
};

/// What Tape::share takes for a batch of so many rows.
BatchShare batch_share(Communicator& ranks, std::int64_t rows, const RankOptions& options);

/// The element type of the trunk's activations for the configuration's precision.
DType activation_type(const std::string& precision);

}  // namespace swath
