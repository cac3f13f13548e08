// Batch normalisation with the statistics of the whole batch that several ranks share (Tape::share): what a convolution block
// adds to the kernels that see this rank's rows alone. All ranks make the same calls in the same order.
#pragma once
#include "engine/autograd/conv_block.h"

namespace swath {

/// Fills own.mean and own.invstd with the whole batch's, and moves own.running_mean and own.running_var. `own` describes this
/// rank's rows: `positions` to an image.
void joint_statistics(Device& device, const BatchShare& share, const kernels::BatchNormStatisticsArgs& own,
                      std::int64_t positions);

/// What joint_gradient() needs of the pass over this rank's rows.
struct JointGradient {
  std::int64_t rows = 0, positions = 0, channels = 0;
  kernels::NormTerm main = {};
  Tensor own;  // 2 × channels: this rank's d_gamma and d_beta
  Tensor d_x;  // as the kernel wrote it
};
/// Hands this rank's part to the parameters' gradients, and corrects d_x by what the other ranks add.
void joint_gradient(const BatchShare& share, const BatchNorm& norm, const JointGradient& gradient);

}  // namespace swath
