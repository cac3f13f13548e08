// The plan of a training step as a table and as JSON, held against what an H100 and an A100 can do.
#pragma once
#include <array>
#include <string>

#include "engine/core/config.h"
#include "recipes/step_plan.h"

namespace swath::app {

/// Peaks by the maker's data sheet: bytes and dense operations per second.
struct Accelerator {
  const char *key, *name, *source;
  double bandwidth, f32, tf32, half;

  double peak(kernels::Math math) const;
  /// Seconds that no implementation of this plan can go below: an estimate from the peaks, not a measurement.
  double bound(const kernels::Cost& cost) const;
};
const std::array<Accelerator, 2>& accelerators();

/// The whole table with its sums.
std::string step_text(const TrainOptions& options, const StepPlan& plan);
/// The object that `swath doctor --step --json` prints.
Json step_json(const TrainOptions& options, const StepPlan& plan);

}  // namespace swath::app
