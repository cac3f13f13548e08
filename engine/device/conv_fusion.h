// What a convolution does besides where normalisation is fused with it: it normalises its input while reading it and gathers
// sums while writing its result. All tensors lie on the convolution's device.
#pragma once
#include "engine/core/tensor.h"

namespace swath {

struct ConvGeometry;

/// The activation that a convolution takes instead of x: relu(x · scale + bias + residual), per channel.
struct InputNorm {
  Tensor scale = {}, bias = {};                    // C, of the activations' type; undefined: x itself
  Tensor residual = {};                            // input_shape(); undefined: none
  Tensor residual_scale = {}, residual_bias = {};  // C, of the activations' type; undefined: the residual as it is
  Tensor activation = {};                          // input_shape(), written; defined exactly where the residual is
  bool counted = false;                            // a dry run: separate kernels would do this for another call
};

/// A normalisation γ (x − mean) invstd + β, and its parameters' gradients.
struct GatheredNorm {
  /// Rows of `sums`: d_gamma, d_beta, and the three coefficients with which cuDNN would go on.
  static constexpr std::int64_t kSums = 5;

  Tensor x;                          // the shape of the gradient
  Tensor mean, invstd, gamma, beta;  // C, f32
  Tensor sums;                       // kSums × C, f32, written
};

/// What a data gradient dx becomes: dx + skip where main + residual or main + shortcut is positive, else 0.
struct OutputMask {
  GatheredNorm main;
  GatheredNorm shortcut;  // x undefined: none
  Tensor residual;        // input_shape(), or undefined; not beside a shortcut
  Tensor skip;            // input_shape(), or undefined
  bool counted = false;   // as above: of mask and sums
};

/// Whether a convolution of this geometry can take an InputNorm with a residual.
bool joins_input(const ConvGeometry& geometry);
/// Whether its data gradient can take an OutputMask with a skip, a residual or a shortcut.
bool joins_gradient(const ConvGeometry& geometry);

/// What every backend asks of these arguments; InternalError.
void expect_norm(const InputNorm& norm, const ConvGeometry& geometry);
void expect_mask(const OutputMask& mask, const ConvGeometry& geometry);

}  // namespace swath
