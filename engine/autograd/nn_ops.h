// Differentiable layers on NHWC activations (methods.md §2). Activations are f32 or bf16, parameters f32.
#pragma once
#include <string>

#include "engine/autograd/tape.h"
#include "engine/nn/parameter.h"
#include "kernels/batch_norm.h"

namespace swath {

struct ConvOptions {
  std::int64_t stride = 1, pad = 0;
};

/// x: N×H×W×C, weight: K×R×S×C → N×OH×OW×K of x's type. The input's gradient is computed only if something wants it.
Var conv2d(Tape& tape, const Var& x, Parameter& weight, ConvOptions options);

/// Parameters and running statistics of one batch normalisation over C channels.
struct BatchNorm {
  static constexpr float kEpsilon = 1e-5f;
  static constexpr float kMomentum = 0.1f;
  Parameter* weight = nullptr;
  Parameter* bias = nullptr;
  Buffer* running_mean = nullptr;
  Buffer* running_var = nullptr;

  /// Declares `<name>.weight`, `.bias`, `.running_mean`, `.running_var` with 1, 0, 0, 1.
  static BatchNorm declare(ParameterBlock& block, const std::string& name, std::int64_t channels, ParameterGroup group);
};

using kernels::Activation;

/// activation(normalise(x) + residual) in one pass; `residual` may be an empty Var. In training the batch's statistics
/// are used and the running ones updated (unbiased variance), which takes N·H·W > 1 (UserError); otherwise the running
/// ones are used.
Var batch_norm(Tape& tape, const Var& x, const BatchNorm& norm, Activation activation, const Var& residual = {});

struct PoolOptions {
  std::int64_t kernel = 3, stride = 2, pad = 1;
};

/// Maximum over windows; padding never wins. x: N×H×W×C.
Var max_pool(Tape& tape, const Var& x, PoolOptions options);

/// N×H×W×C → N×C in f32.
Var global_average_pool(Tape& tape, const Var& x);

/// Key of a random operation: seed of the run, and the device's step counter.
struct RandomKey {
  std::uint64_t seed = 0;
  const std::uint64_t* step = nullptr;
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
