// Tensors and shapes: memory shared by views and rows, copies, types, checks.
#include "engine/core/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/trace.h"
#include "engine/device/device.h"

namespace swath {
namespace {

TEST(Shape, CountsAndPrints) {
  EXPECT_EQ(Shape({2, 3, 4}).numel(), 24);
  EXPECT_EQ(Shape({2, 3, 4}).str(), "2x3x4");
  EXPECT_EQ(Shape().numel(), 1);
  EXPECT_EQ(Shape({5, 0}).numel(), 0);
  EXPECT_EQ(Shape({2, 3}), Shape({2, 3}));
  EXPECT_FALSE(Shape({2, 3}) == Shape({2, 3, 1}));
}

TEST(Shape, RefusesNegativeAndOverflowingExtents) {
  EXPECT_THROW(Shape({2, -1}), UserError);
  EXPECT_THROW(Shape({std::int64_t{1} << 32, std::int64_t{1} << 31}), UserError);
  const std::int64_t five[] = {1, 1, 1, 1, 1};
  EXPECT_THROW(Shape::of(five, 5), UserError);
}

TEST(Tensor, AbsentUntilMade) {
  const Tensor none;
  EXPECT_FALSE(none.defined());
  EXPECT_THROW(none.data<float>(), InternalError);
}

TEST(Tensor, HoldsWhatWasCopiedIn) {
  const auto device = Device::open("cpu");
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Tensor t = Tensor::from_host(*device, {2, 3}, values);
  EXPECT_EQ(t.to_host<float>(), values);
  EXPECT_EQ(t.bytes(), 24u);
  EXPECT_EQ(&t.device(), device.get());
  EXPECT_THROW(t.data<std::int32_t>(), InternalError);
  EXPECT_EQ(Tensor::zeros(*device, {3}, DType::i64).to_host<std::int64_t>(), std::vector<std::int64_t>(3));
}

TEST(Tensor, ViewsAndRowsShareMemory) {
  const auto device = Device::open("cpu");
  const Tensor t = Tensor::from_host(*device, {3, 2}, std::vector<float>{0, 1, 2, 3, 4, 5});
  const Tensor row = t.rows(1, 2);
  EXPECT_EQ(row.shape(), Shape({1, 2}));
  EXPECT_EQ(row.to_host<float>(), (std::vector<float>{2, 3}));
  row.fill_zero();
  EXPECT_EQ(t.to_host<float>(), (std::vector<float>{0, 1, 0, 0, 4, 5}));
  EXPECT_EQ(t.view({2, 3}).rows(1, 2).to_host<float>(), (std::vector<float>{0, 4, 5}));
  EXPECT_EQ(t.rows(3, 3).numel(), 0);
  EXPECT_THROW(t.view({7}), InternalError);
  EXPECT_THROW(t.rows(2, 4), InternalError);
}

TEST(Tensor, CloneIsIndependent) {
  const auto device = Device::open("cpu");
  const Tensor t = Tensor::from_host(*device, {2}, std::vector<float>{1, 2});
  const Tensor copy = t.clone();
  t.fill_zero();
  EXPECT_EQ(copy.to_host<float>(), (std::vector<float>{1, 2}));
  t.copy_from(copy);
  EXPECT_EQ(t.to_host<float>(), (std::vector<float>{1, 2}));
  EXPECT_THROW(t.copy_from(Tensor::zeros(*device, {3})), InternalError);
}

TEST(Tensor, LargeCopiesAreComplete) {
  const auto device = Device::open("cpu");
  std::vector<std::int32_t> values(3'000'017);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(i);
  const Tensor t = Tensor::from_host(*device, {static_cast<std::int64_t>(values.size())}, values);
  EXPECT_EQ(t.clone().to_host<std::int32_t>(), values);
  t.fill_zero();
  EXPECT_EQ(t.to_host<std::int32_t>(), std::vector<std::int32_t>(values.size()));
}

TEST(Tensor, EmptyTensorsAreAllowed) {
  const auto device = Device::open("cpu");
  const Tensor t = Tensor::zeros(*device, {0, 4});
  EXPECT_TRUE(t.defined());
  EXPECT_TRUE(t.to_host<float>().empty());
  EXPECT_EQ(t.clone().numel(), 0);
}

TEST(RequireFinite, NamesTheFirstValueThatIsNot) {
  const auto device = Device::open("cpu");
  std::vector<float> values(5000, 1.0f);
  EXPECT_NO_THROW(require_finite(Tensor::from_host(*device, {5000}, values), "it"));
  values[4321] = std::numeric_limits<float>::infinity();
  values[4999] = std::numeric_limits<float>::quiet_NaN();
  const Tensor wide = Tensor::from_host(*device, {50, 100}, values);
  std::vector<kernels::bf16> halves;
  for (const float v : values) halves.push_back(kernels::from_float<kernels::bf16>(v));
  for (const Tensor& tensor : {wide, Tensor::from_host(*device, {50, 100}, halves)}) {
    try {
      require_finite(tensor, "the value of an operation");
      FAIL() << "no error";
    } catch (const NanError& error) {
      EXPECT_NE(std::string(error.what()).find("the value of an operation holds inf at element 4321"), std::string::npos);
    }
  }
  EXPECT_NO_THROW(require_finite(Tensor::zeros(*device, {3}, DType::i32), "whole numbers"));
}

}  // namespace
}  // namespace swath
