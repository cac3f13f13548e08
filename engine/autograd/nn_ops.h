// Differentiable layers on NHWC activations (methods.md §2). Activations are f32, bf16 or f16, parameters f32.
#pragma once
#include <string>

#include "engine/autograd/tape.h"
#include "engine/nn/parameter.h"

namespace swath {

/// N×H×W×C → N×C in f32.
Var global_average_pool(Tape& tape, const Var& x);

/// Key of a random operation: seed of the run, and the device's step counter.
struct RandomKey {
  std::uint64_t seed = 0;
  const std::uint64_t* step = nullptr;
  /// Of the whole batch: the row that the first one here is. For operations on a rank's rows.
  std::int64_t first_row = 0;
};

/// Zeroes each element with probability `p` and scales the others by 1/(1−p); the identity outside training.
Var dropout(Tape& tape, const Var& x, float p, RandomKey key);

/// x: N×in (f32), weight: out×in, bias: out → N×out.
Var linear(Tape& tape, const Var& x, Parameter& weight, Parameter& bias);

/// a + b of one shape and type.
Var add(Tape& tape, const Var& a, const Var& b);

/// factor · x.
Var scale(Tape& tape, const Var& x, float factor);

/// max(x, 0).
Var relu(Tape& tape, const Var& x);

}  // namespace swath
