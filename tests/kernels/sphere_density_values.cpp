#include "tests/kernels/sphere_density_values.h"

namespace swath::kernels::test {

void sphere_density_values(const SphereDensityValuesArgs& args, Cpu) {
  for (std::int64_t i = 0; i < args.n; ++i) args.log[i] = portable::log(args.x[i]);
  for (std::int64_t i = 0; i < args.n; ++i) args.exp[i] = portable::exp(args.x[i]);
  for (std::int64_t i = 0; i < args.n; ++i) args.log_density[i] = log_density(args.sphere, args.x[i]);
}

}  // namespace swath::kernels::test
