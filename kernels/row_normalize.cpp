// Rows scaled to unit length, on the CPU. methods.md §2, §8.
#include "kernels/row_normalize.h"

#include <algorithm>
#include <cmath>

#include "kernels/lanes.h"
#include "kernels/parallel.h"

namespace swath::kernels {

void row_normalize(const RowNormalizeArgs& args, Cpu) {
  parallel_for(
      args.rows,
      [&](std::int64_t i) {
        const float* x = args.x + i * args.x_ld;
        float* y = args.y + i * args.y_ld;
        const float squares = lane_sum(args.cols, [x](std::int64_t k) { return x[k] * x[k]; });
        const float inv_norm = 1.0f / std::max(std::sqrt(squares), kRowNormFloor);
        for (std::int64_t k = 0; k < args.cols; ++k) y[k] = x[k] * inv_norm;
        if (args.inv_norm) args.inv_norm[i] = inv_norm;
      },
      serial_below_for(args.cols));
}

void row_normalize_backward(const RowNormalizeBackwardArgs& args, Cpu) {
  if (args.d_x_mode == GradMode::skip) return;
  constexpr float kInvFloor = 1.0f / kRowNormFloor;
  parallel_for(
      args.rows,
      [&](std::int64_t i) {
        const float* y = args.y + i * args.y_ld;
        const float* d_y = args.d_y + i * args.d_y_ld;
        float* d_x = args.d_x + i * args.d_x_ld;
        const float inv_norm = args.inv_norm[i];
        const float projection =
            inv_norm < kInvFloor ? lane_sum(args.cols, [y, d_y](std::int64_t k) { return y[k] * d_y[k]; }) : 0.0f;
        if (args.d_x_mode == GradMode::overwrite) {
          for (std::int64_t k = 0; k < args.cols; ++k) d_x[k] = (d_y[k] - y[k] * projection) * inv_norm;
        } else {
          for (std::int64_t k = 0; k < args.cols; ++k) d_x[k] += (d_y[k] - y[k] * projection) * inv_norm;
        }
      },
      serial_below_for(args.cols));
}

}  // namespace swath::kernels
