// The parts of flat arrays of parameters that an optimiser's launch updates.
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

/// Elements [begin, end) of the arrays, with a learning rate and a weight decay of their own.
struct UpdateStretch {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  const float* learning_rate = nullptr;  // 1, device
  double weight_decay = 0;
  const void* grad = nullptr;  // an array as the others, of a type of its own, which the update reads as float32
  DType grad_type = DType::f32;
};
/// How many one launch takes.
constexpr std::size_t kUpdateStretches = 8;

}  // namespace swath::kernels
