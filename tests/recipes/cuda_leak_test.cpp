// Captured steps and validations on a CUDA device, real or simulated, hold on to no memory.
#include "tests/cuda_device.h"
#include "tests/recipes/leak_case.h"

namespace swath {
namespace {

class CudaLeak : public testing::LeakCase {
 protected:
  void SetUp() override {
    SWATH_NEEDS_CUDA_DEVICE();
    LeakCase::SetUp();
  }
};

TEST_F(CudaLeak, ReplayedStepsAndValidations) { expect_constant(train("cuda", 24, 3, true)); }

TEST_F(CudaLeak, ReplayedStepsOfAWholeNetwork) { expect_constant(train("cuda", 24, 3, false)); }

}  // namespace
}  // namespace swath
