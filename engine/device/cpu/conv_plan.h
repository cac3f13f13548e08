// oneDNN primitives of convolutions: which algorithm computes one, and how its arrays come into the layouts that it takes.
#pragma once
#include <dnnl.hpp>

#include "engine/device/conv_problem.h"

namespace swath::cpu {

/// One of the three arrays: as the caller has it (NHWC activations, K×R×S×C float32 weights), and as the primitive takes it.
struct ConvOperand {
  int argument = 0;
  dnnl::memory::desc user, own;
  dnnl::reorder reorder;  // between them where they differ: from the caller's, or to it for what the pass computes
  dnnl::memory::desc reorder_scratch;
  std::size_t offset = 0;  // of `own` in the workspace

  bool reordered() const { return own != user; }
};

struct ConvPlan {
  dnnl::primitive primitive;
  ConvOperand x, w, y;
  dnnl::memory::desc scratch;
  /// backward_weight: a reorder that adds to the caller's array.
  dnnl::reorder add;
  dnnl::memory::desc add_scratch;
  std::size_t scratch_offset = 0, workspace_bytes = 0;
};

/// float32 convolutions of 3×3 pixels and stride 1 are computed by Winograd's minimal filtering F(4×4, 3×3) where oneDNN
/// offers it (A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2016), all others by their definition.
/// Throws UserError for a geometry or a type that the CPU does not have.
ConvPlan make_conv_plan(ConvPass pass, const ConvGeometry& geometry, const dnnl::engine& engine);

}  // namespace swath::cpu
