#include "engine/device/conv_problem.h"

#if SWATH_WITH_CUDA
#include <map>
#include <memory>

#include "engine/device/cuda/conv_plan.h"
#include "engine/device/cuda/device_descriptions.h"
#endif
#include "engine/device/expect_tensor.h"

namespace swath {

void expect_fits(const ConvGeometry& g) {
  if (g.c < 1 || g.k < 1 || g.r < 1 || g.s < 1 || g.stride < 1 || g.pad < 0 || g.h + 2 * g.pad < g.r || g.w + 2 * g.pad < g.s)
    throw UserError(fmt::format("a {}x{} convolution with padding {} does not fit an image of {}x{}; use a larger image", g.r,
                                g.s, g.pad, g.h, g.w));
}

void expect_arrays(ConvPass pass, const ConvGeometry& g, const Tensor& x, const Tensor& w, const Tensor& y, DType weights) {
  expect_tensor(pass == ConvPass::backward_data ? "dx" : "x", x, g.input_shape(), g.dtype);
  const bool wide = pass == ConvPass::backward_weight && w.dtype() == DType::f32;
  expect_tensor(pass == ConvPass::backward_weight ? "dw" : "w", w, g.weight_shape(), wide ? DType::f32 : weights);
  expect_tensor(pass == ConvPass::forward ? "y" : "dy", y, g.output_shape(), g.dtype);
}

ConvFusion fusion_of(const InputNorm& norm, ConvFusion otherwise) {
  if (!norm.scale.defined()) return otherwise;
  if (!norm.residual.defined()) return ConvFusion::normal;
  return norm.residual_scale.defined() ? ConvFusion::shortcut : ConvFusion::residual;
}

ConvFusion fusion_of(const OutputMask& mask) {
  if (mask.shortcut.x.defined()) return ConvFusion::shortcut;
  return mask.residual.defined() ? ConvFusion::residual : ConvFusion::normal;
}

std::string describe(const ConvProblem& p) {
  const ConvGeometry& g = p.geometry;
  const bool rounded = g.dtype == DType::f32 && p.math == Float32Math::tf32;
  return fmt::format("{} of {} {} with {} at stride {}, padding {}{}{}", name_of(p.pass),
                     rounded ? "tf32" : kernels::name_of(g.dtype), g.input_shape().str(), g.weight_shape().str(), g.stride,
                     g.pad, name_of(p.fusion), p.skip ? ", added" : "");
}

const char* name_of(ConvPass pass) {
  switch (pass) {
    case ConvPass::forward:
      return "forward";
    case ConvPass::backward_data:
      return "data gradient";
    case ConvPass::backward_weight:
      return "weight gradient";
  }
  return "?";
}

const char* name_of(ConvFusion fusion) {
  switch (fusion) {
    case ConvFusion::none:
      return "";
    case ConvFusion::sums:
      return ", with sums";
    case ConvFusion::normal:
      return ", normalised";
    case ConvFusion::residual:
      return ", normalised with residual";
    case ConvFusion::shortcut:
      return ", normalised with shortcut";
  }
  return "?";
}

#if SWATH_WITH_CUDA
EngineOf engines_of(const std::string& device) {
  const char* const description = cuda::device_description(device);
  if (!description) throw UserError(fmt::format("no device {} is described; choose h100 or a100", device));
  return [description, known = std::make_shared<std::map<std::string, std::string>>()](const ConvProblem& problem) {
    std::string& engine = (*known)[describe(problem)];
    if (engine.empty()) engine = cuda::ConvPlan::for_description(problem, description).engine();
    return engine;
  };
}
#else
EngineOf engines_of(const std::string&) {
  throw UserError("engines are cuDNN's, which this build does not have; configure with SWATH_CUDA=ON");
}
#endif

}  // namespace swath
