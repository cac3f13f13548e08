// Opening devices, their memory and their executor.
#include "engine/device/device.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <type_traits>

#include "engine/core/error.h"
#include "engine/device/plan_cache.h"

namespace swath {
namespace {

template <class F>
std::string error_of(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Device, OpensTheCpu) {
  const auto device = Device::open("cpu");
  EXPECT_EQ(device->kind(), DeviceKind::cpu);
  EXPECT_EQ(device->name(), "cpu");
  EXPECT_FALSE(device->is_cuda());
  int calls = 0;
  device->run([&](auto exec) {
    if constexpr (std::is_same_v<decltype(exec), kernels::Cpu>) ++calls;
  });
  EXPECT_EQ(calls, 1);
  device->synchronize();
}

TEST(Device, RefusesUnknownNames) {
  for (const char* name : {"", "gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999999999"}) {
    EXPECT_THROW(Device::open(name), UserError) << name;
    EXPECT_NE(error_of([&] { Device::open(name); }).find("cuda:N"), std::string::npos);
  }
}

TEST(Device, RefusesFusedNormalisationOnTheCpu) {
  EXPECT_EQ(error_of([] { Device::open("cpu", {.conv_pipeline = true}); }),
            "conv_pipeline=on takes a GPU of compute capability 9.0 or later, not the CPU; set conv_pipeline=off");
  const auto device = Device::open("cpu");
  EXPECT_FALSE(device->backend().fuses_norms(DType::f16));
  const Tensor x = Tensor::zeros(*device, {1, 1, 1, 8});
  EXPECT_THROW(device->backend().conv_forward_normal({}, x, {}, x, x, x), UserError);
  EXPECT_THROW(device->backend().conv_backward_data_masked({}, x, x, {}, x), UserError);
  EXPECT_THROW(device->backend().conv_backward_weight_normal({}, x, {}, x, x, GradMode::overwrite), UserError);
}

TEST(Device, RefusesTimedEnginesOnTheCpu) {
  EXPECT_EQ(error_of([] { Device::open("cpu", {.autotune = "engines.json"}); }),
            "autotune=engines.json times cuDNN's engines on a GPU, and the CPU has none; leave autotune out");
}

TEST(Device, NamesAnAbsentCudaDevice) {
  if (Device::cuda_available()) GTEST_SKIP() << "there is a CUDA device";
  EXPECT_THROW(Device::open("cuda"), DeviceError);
  EXPECT_THROW(Device::open("cuda:3"), DeviceError);
}

TEST(Device, ReportsMemoryAndVersions) {
  const auto device = Device::open("cpu");
  const MemoryInfo memory = device->backend().memory_info();
  EXPECT_GT(memory.free, 0u);
  EXPECT_GE(memory.total, memory.free);
  std::string all;
  for (const std::string& version : device->backend().versions()) all += version + "\n";
  EXPECT_NE(all.find("onednn 2."), std::string::npos) << all;
  EXPECT_NE(all.find("blas"), std::string::npos) << all;
}

TEST(Device, MemoryIsAlignedAndComesBack) {
  const auto device = Device::open("cpu");
  for (const std::int64_t count : {1, 1000, 300'000, 3'000'000}) {
    const Tensor t = Tensor::zeros(*device, {count});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.raw()) % 256, 0u);
  }
  EXPECT_EQ(device->pool()->use().current, 0u);
  device->pool()->trim();
  EXPECT_EQ(device->pool()->reserved(), 0u);
}

TEST(Device, RefusesMoreMemoryThanThereIs) {
  const auto device = Device::open("cpu");
  EXPECT_THROW(Tensor::empty(*device, {std::int64_t{1} << 50}), DeviceError);
  EXPECT_EQ(Tensor::zeros(*device, {4}).to_host<float>(), std::vector<float>(4));  // still usable
}

class CountingAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override {
    ++taken;
    return std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  }
  void deallocate(void* pointer, std::size_t) noexcept override {
    ++given;
    std::free(pointer);
  }
  int taken = 0, given = 0;
};

TEST(Device, UsesTheAllocatorOfItsHost) {
  const auto allocator = std::make_shared<CountingAllocator>();
  {
    const auto device = Device::open("cpu", {.allocator = allocator});
    Tensor::zeros(*device, {1000});
    EXPECT_EQ(allocator->taken, 1);
  }
  EXPECT_EQ(allocator->given, 1);
}

TEST(Device, TwoAreIndependent) {
  const auto first = Device::open("cpu"), second = Device::open("cpu");
  const Tensor t = Tensor::zeros(*first, {1000});
  EXPECT_GT(first->pool()->use().current, 0u);
  EXPECT_EQ(second->pool()->use().current, 0u);
}

TEST(PlanCache, KeepsTheLatestUsed) {
  PlanCache<2, int> cache(2);
  int made = 0;
  const auto get = [&](std::int64_t a, std::int64_t b) { return cache.get({a, b}, [&] { return ++made; }); };
  EXPECT_EQ(get(1, 2), 1);
  EXPECT_EQ(get(2, 1), 2);
  EXPECT_EQ(get(1, 2), 1);
  EXPECT_EQ(get(3, 3), 3);
  EXPECT_EQ(get(1, 2), 1);
  EXPECT_EQ(get(2, 1), 4);
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_EQ(cache.hits(), 2u);
}

}  // namespace
}  // namespace swath
