// Work recorded as a graph on a CUDA device, real or simulated: replay reads memory as it is then, and what cannot be recorded
// is refused with the device left usable.
#include <gtest/gtest.h>

#include <stdexcept>

#include "engine/device/device.h"
#include "kernels/elementwise.h"
#include "tests/cuda_device.h"

namespace swath {
namespace {

class CudaCapture : public ::testing::Test {
 protected:
  void SetUp() override {
    SWATH_NEEDS_CUDA_DEVICE();
    device_ = Device::open("cuda");
  }
  Tensor vector(const std::vector<float>& values) const {
    return Tensor::from_host(*device_, {static_cast<std::int64_t>(values.size())}, values);
  }
  std::unique_ptr<Device> device_;
};

TEST_F(CudaCapture, ReplaysOnWhatMemoryHoldsThen) {
  const Tensor x = vector({1, 2, 3}), y = vector({0, 0, 0}), z = vector({7, 7, 7});
  const auto graph = device_->backend().capture([&] {
    device_->run([&](auto exec) { kernels::scale({.n = 3, .x = x.raw(), .out = y.raw(), .factor = 2}, exec); });
    z.fill_zero();
    z.rows(0, 2).copy_from(y.rows(0, 2));
  });
  EXPECT_EQ(y.to_host<float>(), (std::vector<float>{0, 0, 0})) << "recording runs nothing";
  const GraphSize size = graph->size();
  EXPECT_EQ(size.kernels, 1);
  EXPECT_EQ(size.fills, 1);
  EXPECT_EQ(size.copies, 1);
  for (const float first : {1.0f, 10.0f}) {
    x.copy_from_host(std::vector<float>{first, 2, 3}.data());
    graph->launch();
    EXPECT_EQ(y.to_host<float>(), (std::vector<float>{2 * first, 4, 6}));
    EXPECT_EQ(z.to_host<float>(), (std::vector<float>{2 * first, 4, 0}));
  }
}

TEST_F(CudaCapture, RefusesWhatCannotBeReplayed) {
  const Tensor x = vector({1, 2, 3});
  Backend& backend = device_->backend();
  EXPECT_THROW(backend.capture([&] { x.to_host<float>(); }), InternalError);
  EXPECT_THROW(backend.capture([&] { vector({1}); }), InternalError);
  EXPECT_THROW(backend.capture([&] { device_->synchronize(); }), InternalError);
  EXPECT_THROW(backend.capture([&] { backend.capture([] {}); }), InternalError);
  EXPECT_THROW(backend.capture([] { throw std::runtime_error("the work's own"); }), std::runtime_error);
  EXPECT_EQ(x.to_host<float>(), (std::vector<float>{1, 2, 3}));
  const auto graph = backend.capture([&] { x.fill_zero(); });
  graph->launch();
  EXPECT_EQ(x.to_host<float>(), (std::vector<float>{0, 0, 0}));
}

TEST_F(CudaCapture, AllocatesMeanwhile) {
  const Tensor x = vector({1, 2, 3});
  Tensor fresh;
  const auto graph = device_->backend().capture([&] {
    fresh = Tensor::empty(*device_, {100000});
    fresh.rows(0, 3).copy_from(x);
  });
  graph->launch();
  EXPECT_EQ(fresh.rows(0, 3).to_host<float>(), (std::vector<float>{1, 2, 3}));
}

}  // namespace
}  // namespace swath
