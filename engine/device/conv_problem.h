// One pass of a convolution with what is fused with it: what a library is asked to plan.
#pragma once
#include <functional>
#include <string>

#include "engine/device/backend.h"
#include "engine/device/device.h"

namespace swath {

enum class ConvPass : std::uint8_t { forward, backward_data, backward_weight };
const char* name_of(ConvPass pass);

/// What is fused with a convolution (conv_fusion.h): nothing; a forward pass gathers sums; its input is besides normalised, and
/// has a residual or a normalised shortcut. A data gradient is masked and summed, with the same three kinds of input; a weight
/// gradient takes a normalised input.
enum class ConvFusion : std::uint8_t { none, sums, normal, residual, shortcut };
const char* name_of(ConvFusion fusion);

/// `otherwise`: where x is not normalised.
ConvFusion fusion_of(const InputNorm& norm, ConvFusion otherwise);
ConvFusion fusion_of(const OutputMask& mask);

/// Weights and their gradient have the type of the activations here.
struct ConvProblem {
  ConvGeometry geometry;
  ConvPass pass = ConvPass::forward;
  /// For float32 activations only.
  Float32Math math = Float32Math::full;
  ConvFusion fusion = ConvFusion::none;
  /// Whether a fused data gradient is added to another one.
  bool skip = false;
};

/// Throws UserError for a kernel that does not fit into the image, and for empty extents.
void expect_fits(const ConvGeometry& geometry);
/// What every backend asks of the three arrays of a pass, or of those of which they are gradients: their shapes, activations of
/// the geometry's type, and w of type `weights`, or float32 where it is a gradient. Throws as expect_tensor.
void expect_arrays(ConvPass pass, const ConvGeometry& geometry, const Tensor& x, const Tensor& w, const Tensor& y,
                   DType weights);

/// The problem in words, different for different problems.
std::string describe(const ConvProblem& problem);

/// cuDNN's names of the engines that it chooses on a device that is described, not there: "h100" or "a100". Engines that would
/// be compiled when first used cannot be had without a device's driver, and are none of them. Throws UserError for another
/// name, and in a build without CUDA.
EngineOf engines_of(const std::string& device);

}  // namespace swath
