// A step for which there is no memory leaves a device and a recipe that can go on.
#include "engine/core/out_of_memory.h"

#include <cstdlib>

#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

/// Host memory, of which only so much may be taken.
class LimitedMemory final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override {
    if (bytes > left_) throw DeviceError("the test gives no more");
    left_ -= bytes;
    return std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  }
  void deallocate(void* pointer, std::size_t bytes) noexcept override {
    left_ += bytes;
    std::free(pointer);
  }
  std::size_t free_bytes() const override { return left_; }

  std::size_t left_ = std::size_t{1} << 40;
};

class OutOfMemoryTest : public testing::SceneTest {
 protected:
  static void SetUpTestSuite() { make_scenes("out-of-memory", 40); }
  static void TearDownTestSuite() { remove_scenes(); }
};

TEST_F(OutOfMemoryTest, AStepThatFoundNoneCanBeRunAgain) {
  testing::RecipeBench<Recipe> untouched(small_options());
  const float wanted = untouched.run(untouched.first_images(8)).at(0);
  const auto memory = std::make_shared<LimitedMemory>();
  testing::RecipeBench<Recipe> bench(small_options(), "cpu", sole_rank(), memory);
  const std::vector<float> before = bench.block.values().to_host<float>();
  // From so little that the first activation does not fit, to nearly all.
  const std::size_t all = memory->left_;
  for (const std::size_t left : {1 << 10, 1 << 20, 4 << 20}) {
    memory->left_ = left;
    EXPECT_THROW(bench.step->run(bench.first_images(8)), OutOfMemory) << left;
    EXPECT_EQ(bench.block.values().to_host<float>(), before);
    memory->left_ = all;
    bench.device->pool()->trim();
  }
  EXPECT_EQ(bench.run(bench.first_images(8)).at(0), wanted);
}

}  // namespace
}  // namespace swath
