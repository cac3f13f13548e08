// Long trainings hold on to nothing: after the first validation the device's memory stays as it is, to the byte, and the memory
// of the process grows by less than 1 MB.
#include "tests/recipes/leak_case.h"

namespace swath {
namespace {

class LeakTest : public testing::LeakCase {};

TEST_F(LeakTest, ManyStepsOfAHead) {
  const std::vector<testing::Held> held = train("cpu", 2000, 20, true);
  expect_constant(held);
  EXPECT_LT(held.back().process, held.front().process + 1000000);
}

TEST_F(LeakTest, StepsOfAWholeNetwork) {
  const std::vector<testing::Held> held = train("cpu", 200, 10, false);
  expect_constant(held);
  EXPECT_LT(held.back().process, held.front().process + 1000000);
}

}  // namespace
}  // namespace swath
