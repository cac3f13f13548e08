// kernels/portable_math.h and kernels/sphere_density.h over an array, for the test of their values and bits.
#pragma once
#include "kernels/exec.h"
#include "kernels/sphere_density.h"

namespace swath::kernels::test {

struct SphereDensityValuesArgs {
  const float* x = nullptr;      // n
  float* log = nullptr;          // n
  float* exp = nullptr;          // n
  float* log_density = nullptr;  // n
  std::int64_t n = 0;
  SphereDensity sphere = {};
};
void sphere_density_values(const SphereDensityValuesArgs& args, CudaStream exec);
void sphere_density_values(const SphereDensityValuesArgs& args, Cpu exec);

}  // namespace swath::kernels::test
