// Long trainings hold on to nothing: after the first validation the device's memory stays as it is, to the byte, and the memory
// of the process grows by less than 1 MB.
#include "tests/recipes/leak_case.h"

namespace swath {
namespace {

class LeakTest : public testing::LeakCase {};

TEST_F(LeakTest, ManySteps) { expect_constant(train("cpu", 2000, 20, false)); }

TEST_F(LeakTest, StepsOfAHead) { expect_constant(train("cpu", 200, 10, true)); }

}  // namespace
}  // namespace swath
