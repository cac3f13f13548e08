// Convolution, batch normalisation and what follows them in a residual network as one differentiable operation each (methods.md
// §2): no activation is read or written that the next operation or the backward pass does not need. Activations are NHWC, f32
// or bf16, parameters f32. In training the batch's statistics are used and the running ones updated (unbiased variance), which
// takes N·H·W > 1 (UserError); otherwise the running ones are used.
#pragma once
#include <string>

#include "engine/autograd/tape.h"
#include "engine/nn/parameter.h"
#include "kernels/batch_norm.h"

namespace swath {

struct ConvOptions {
  std::int64_t stride = 1, pad = 0;
};

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

/// A convolution without bias (weight: K×R×S×C) and the normalisation of its K channels.
struct ConvNorm {
  Parameter* weight = nullptr;
  BatchNorm norm;
  ConvOptions options;
};

using kernels::Activation;

/// activation(norm(conv(x))). x: N×H×W×C → N×OH×OW×K; images may have Backend::conv_channels(type, C) channels instead, the
/// further ones zero. Throws UserError where x does not fit the layer.
Var conv_norm(Tape& tape, const Var& x, const ConvNorm& layer, Activation activation);

/// relu(norm(conv(x)) + residual).
Var conv_norm_add(Tape& tape, const Var& x, const ConvNorm& layer, const Var& residual);

/// relu(norm(conv(x)) + norm(conv(from))) with a convolution of its own for `from`.
Var conv_norm_add(Tape& tape, const Var& x, const ConvNorm& layer, const Var& from, const ConvNorm& shortcut);

struct PoolOptions {
  std::int64_t kernel = 3, stride = 2, pad = 1;
};

/// Maximum over windows of relu(norm(conv(x))); padding never wins.
Var conv_norm_pool(Tape& tape, const Var& x, const ConvNorm& layer, PoolOptions pool);

}  // namespace swath
