// The few values that change from step to step, kept in device memory: a captured CUDA graph freezes arguments passed by
// value, so kernels read these through pointers, and one copy before each step refreshes them all.
#pragma once
#include <array>
#include <cstdint>

#include "engine/nn/parameter.h"

namespace swath {

class StepScalars {
 public:
  explicit StepScalars(Device& device);

  void set_step(std::uint64_t step) { host_.step = step; }
  std::uint64_t step() const { return host_.step; }
  void set_learning_rate(ParameterGroup group, float rate) { host_.learning_rate[static_cast<std::size_t>(group)] = rate; }
  float learning_rate(ParameterGroup group) const { return host_.learning_rate[static_cast<std::size_t>(group)]; }

  /// Copies the values to the device.
  void upload();

  /// Device pointers. The step counts from 0 and keys every random draw; updates counts optimiser steps from 1.
  const std::uint64_t* step_pointer() const;
  const std::uint64_t* updates_pointer() const;
  const float* learning_rate_pointer(ParameterGroup group) const;

 private:
  struct Values {
    std::uint64_t step = 0;
    std::uint64_t updates = 1;
    std::array<float, kParameterGroups> learning_rate{};
  };
  Values host_;
  Tensor device_values_;
};

}  // namespace swath
