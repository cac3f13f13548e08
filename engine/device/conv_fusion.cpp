#include "engine/device/conv_fusion.h"

#include "engine/device/backend.h"
#include "engine/device/expect_tensor.h"

namespace swath {

namespace {

void expect_norm(const GatheredNorm& norm, const ConvGeometry& g) {
  expect_tensor("what was normalised", norm.x, g.input_shape(), g.dtype);
  for (const Tensor& values : {norm.mean, norm.invstd, norm.gamma, norm.beta})
    expect_tensor("a channel's values", values, {g.c}, DType::f32);
  expect_tensor("sums", norm.sums, {GatheredNorm::kSums, g.c}, DType::f32);
}

void expect_eights(const ConvGeometry& g) {
  SWATH_CHECK(g.c % 8 == 0 && g.k % 8 == 0, "{} and {} channels are no eights", g.c, g.k);
}

}  // namespace

bool joins_input(const ConvGeometry& g) { return g.r == 1 && g.s == 1 && g.stride == 1 && g.pad == 0; }
bool joins_gradient(const ConvGeometry& g) { return g.stride == 1; }

void expect_norm(const InputNorm& norm, const ConvGeometry& g) {
  expect_eights(g);
  SWATH_CHECK(norm.residual.defined() == norm.activation.defined() && (norm.scale.defined() || !norm.residual.defined()),
              "an activation is stored exactly where there is a residual");
  if (!norm.scale.defined()) return;
  expect_tensor("scale", norm.scale, {g.c}, g.dtype);
  expect_tensor("bias", norm.bias, {g.c}, g.dtype);
  if (!norm.residual.defined()) return;
  SWATH_CHECK(joins_input(g), "a residual before {}×{} at stride {}", g.r, g.s, g.stride);
  expect_tensor("residual", norm.residual, g.input_shape(), g.dtype);
  expect_tensor("activation", norm.activation, g.input_shape(), g.dtype);
  if (!norm.residual_scale.defined()) return;
  expect_tensor("scale of the residual", norm.residual_scale, {g.c}, g.dtype);
  expect_tensor("bias of the residual", norm.residual_bias, {g.c}, g.dtype);
}

void expect_mask(const OutputMask& mask, const ConvGeometry& g) {
  expect_eights(g);
  expect_norm(mask.main, g);
  if (mask.shortcut.x.defined()) expect_norm(mask.shortcut, g);
  if (mask.residual.defined()) expect_tensor("residual", mask.residual, g.input_shape(), g.dtype);
  if (mask.skip.defined()) expect_tensor("skip", mask.skip, g.input_shape(), g.dtype);
  const bool joined = mask.shortcut.x.defined() || mask.residual.defined() || mask.skip.defined();
  SWATH_CHECK(!(mask.shortcut.x.defined() && mask.residual.defined()) && (!joined || joins_gradient(g)),
              "a data gradient with one residual at most, at stride 1, not {}", g.stride);
}

}  // namespace swath
