// One training step: standardise, forward, loss, backward, update; and the ring of statistics that is read every few steps.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/loader.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/step_scalars.h"
#include "recipes/recipe.h"

namespace swath {

/// What one step reported.
struct StepStatistics {
  std::uint64_t step = 0;
  std::vector<float> values;  // loss, then Recipe::statistic_names()
};

class TrainStep {
 public:
  /// `log_every` is the capacity of the statistics ring. All references must outlive the step.
  TrainStep(Device& device, Recipe& recipe, ParameterBlock& block, Optimizer& optimizer, StepScalars& scalars,
            const TrainOptions& options, const PackedSplit& split);

  /// Runs the step scalars.step() on the batch. Does not wait for the device.
  void run(const Batch& batch);
  /// Waits for the device; the statistics of the steps since the last call, in order.
  std::vector<StepStatistics> drain();
  /// Names of StepStatistics::values.
  const std::vector<std::string>& names() const { return names_; }

 private:
  Device& device_;
  Recipe& recipe_;
  ParameterBlock& block_;
  Optimizer& optimizer_;
  StepScalars& scalars_;
  const TrainOptions& options_;
  const PackedSplit& split_;
  std::int64_t crop_;
  std::vector<std::string> names_;
  Tensor ring_;
  std::vector<std::int32_t> index_;
  std::vector<std::uint64_t> pending_;
};

/// The element type of the trunk's activations for the configuration's precision.
DType activation_type(const std::string& precision);

}  // namespace swath
