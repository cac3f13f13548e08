#include "kernels/launch.cuh"
#include "tests/kernels/sphere_density_values.h"

namespace swath::kernels::test {
namespace {

__global__ void __launch_bounds__(256) values_kernel(SphereDensityValuesArgs args) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (i >= args.n) return;
  args.log[i] = portable::log(args.x[i]);
  args.exp[i] = portable::exp(args.x[i]);
  args.log_density[i] = log_density(args.sphere, args.x[i]);
}

}  // namespace

void sphere_density_values(const SphereDensityValuesArgs& args, CudaStream exec) {
  launch(values_kernel, static_cast<unsigned>(ceil_div(args.n, 256)), 256, 0, exec, args);
}

}  // namespace swath::kernels::test
