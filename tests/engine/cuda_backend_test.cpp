// The CUDA backend against naive sums in double precision and against the CPU backend, on a real or simulated device.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/device/device.h"
#include "tests/cuda_device.h"
#include "tests/engine/backend_case.h"
#include "tests/half_arrays.h"

namespace swath {
namespace {

using testing::ConvSums;
using testing::narrowed;
using testing::numbers;
using testing::Sums;
using testing::widened;

Tensor upload(Device& device, const Shape& shape, const std::vector<float>& values, DType type) {
  if (type == DType::bf16) return Tensor::from_host(device, shape, narrowed<kernels::bf16>(values));
  if (type == DType::f16) return Tensor::from_host(device, shape, narrowed<kernels::f16>(values));
  return Tensor::from_host(device, shape, values);
}

std::vector<float> download(const Tensor& tensor) {
  if (tensor.dtype() == DType::bf16) return widened(tensor.to_host<kernels::bf16>());
  if (tensor.dtype() == DType::f16) return widened(tensor.to_host<kernels::f16>());
  return tensor.to_host<float>();
}

// `rounding`: relative error of the type that the result was rounded to. Products and sums are float32.
void expect_close(const char* what, const std::vector<float>& got, const Sums& want, double rounding) {
  ASSERT_EQ(got.size(), want.value.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want.value[i], 4e-6 * want.magnitude[i] + rounding * std::abs(want.value[i]) + 1e-7)
        << what << " at " << i;
}

void check_convolution(Device& device, const ConvGeometry& g) {
  const auto rounded = [&](std::vector<float> values) {
    if (g.dtype == DType::bf16) return widened(narrowed<kernels::bf16>(values));
    if (g.dtype == DType::f16) return widened(narrowed<kernels::f16>(values));
    return values;
  };
  const std::vector<float> x = rounded(numbers(g.input_shape().numel(), 1));
  const std::vector<float> w = rounded(numbers(g.weight_shape().numel(), 2));
  const std::vector<float> dy = rounded(numbers(g.output_shape().numel(), 3));
  const ConvSums want(g, x, w, dy);
  const double rounding = g.dtype == DType::bf16 ? 0x1p-8 : g.dtype == DType::f16 ? 0x1p-11 : 0;

  Backend& backend = device.backend();
  const Tensor x_on = upload(device, g.input_shape(), x, g.dtype), dy_on = upload(device, g.output_shape(), dy, g.dtype);
  const Tensor w_on = upload(device, g.weight_shape(), w, g.dtype);
  const Tensor y = Tensor::empty(device, g.output_shape(), g.dtype), dx = Tensor::empty(device, g.input_shape(), g.dtype);
  backend.conv_forward(g, x_on, w_on, y);
  expect_close("y", download(y), want.y, rounding);
  backend.conv_backward_data(g, dy_on, w_on, dx);
  expect_close("dx", download(dx), want.dx, rounding);

  // cuDNN writes the gradient of the weights in the activations' type. Twice a number of that type is one as well.
  for (const DType type : {DType::f32, g.dtype}) {
    const Tensor dw = Tensor::empty(device, g.weight_shape(), type);
    backend.conv_backward_weight(g, x_on, dy_on, dw, GradMode::overwrite);
    const std::vector<float> once = download(dw);
    expect_close("dw", once, want.dw, rounding);
    backend.conv_backward_weight(g, x_on, dy_on, dw, GradMode::skip);
    EXPECT_EQ(download(dw), once);
    backend.conv_backward_weight(g, x_on, dy_on, dw, GradMode::accumulate);
    const std::vector<float> twice = download(dw);
    for (std::size_t i = 0; i < once.size(); ++i) ASSERT_FLOAT_EQ(twice[i], 2 * once[i]);
  }
}

constexpr ConvGeometry kGeometries[] = {
    {1, 5, 5, 3, 7, 1, 1, 1, 0},     {3, 7, 7, 64, 32, 1, 1, 2, 0},  {2, 7, 9, 16, 24, 3, 3, 1, 1},
    {2, 8, 8, 17, 5, 3, 3, 2, 1},    {1, 9, 9, 32, 16, 3, 3, 2, 1},  {2, 17, 15, 3, 64, 7, 7, 2, 3},
    {2, 16, 16, 12, 64, 7, 7, 2, 3}, {1, 13, 13, 13, 9, 5, 3, 2, 2}, {4, 1, 1, 33, 65, 1, 1, 1, 0},
    {1, 2, 2, 16, 16, 3, 3, 1, 1},   {2, 15, 1, 4, 130, 3, 1, 2, 1}, {2, 7, 7, 512, 48, 1, 1, 2, 0},
};

class CudaBackend : public ::testing::Test {
 protected:
  void SetUp() override {
    SWATH_NEEDS_CUDA_DEVICE();
    device = Device::open("cuda");
    cpu = Device::open("cpu");
  }
  std::unique_ptr<Device> device, cpu;
};

TEST_F(CudaBackend, Float32ConvolutionsMatchTheSum) {
  for (const ConvGeometry& g : kGeometries) {
    SCOPED_TRACE(g.input_shape().str() + " * " + g.weight_shape().str());
    check_convolution(*device, g);
  }
}

TEST_F(CudaBackend, SixteenBitConvolutionsMatchTheSumOfRoundedNumbers) {
  for (const DType type : {DType::bf16, DType::f16})
    for (ConvGeometry g : kGeometries) {
      g.dtype = type;
      SCOPED_TRACE(g.input_shape().str() + " * " + g.weight_shape().str() + " " + kernels::name_of(type));
      check_convolution(*device, g);
    }
}

TEST_F(CudaBackend, Float32ConvolutionsMatchTheCpuBackend) {
  const ConvGeometry g{4, 14, 14, 64, 128, 3, 3, 2, 1};
  const std::vector<float> x = numbers(g.input_shape().numel(), 4), w = numbers(g.weight_shape().numel(), 5);
  std::vector<float> results[2];
  for (Device* d : {device.get(), cpu.get()}) {
    const Tensor y = Tensor::empty(*d, g.output_shape());
    d->backend().conv_forward(g, Tensor::from_host(*d, g.input_shape(), x), Tensor::from_host(*d, g.weight_shape(), w), y);
    results[d->is_cuda() ? 0 : 1] = download(y);
  }
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    difference += std::pow(results[0][i] - results[1][i], 2.0);
    norm += std::pow(results[1][i], 2.0);
  }
  EXPECT_LT(std::sqrt(difference / norm), 1e-6);
}

TEST_F(CudaBackend, AnEmptyBatchIsAllowed) {
  const ConvGeometry g{0, 8, 8, 3, 4, 3, 3, 1, 1};
  const Tensor x = Tensor::empty(*device, g.input_shape()), y = Tensor::empty(*device, g.output_shape());
  const Tensor w = Tensor::from_host(*device, g.weight_shape(), numbers(g.weight_shape().numel(), 1));
  const Tensor dw = w.clone();
  device->backend().conv_forward(g, x, w, y);
  device->backend().conv_backward_data(g, y, w, x);
  device->backend().conv_backward_weight(g, x, y, dw, GradMode::accumulate);
  EXPECT_EQ(download(dw), download(w));
  device->backend().conv_backward_weight(g, x, y, dw, GradMode::overwrite);
  EXPECT_EQ(download(dw), std::vector<float>(static_cast<std::size_t>(dw.numel())));
}

TEST_F(CudaBackend, RefusesOtherTypesAndShapes) {
  ConvGeometry g{1, 4, 4, 3, 4, 3, 3, 1, 1};
  const Tensor x = Tensor::zeros(*device, g.input_shape()), y = Tensor::zeros(*device, g.output_shape());
  const Tensor w = Tensor::zeros(*device, g.weight_shape());
  EXPECT_THROW(device->backend().conv_forward(g, y, w, y), InternalError);
  g.dtype = DType::u16;
  EXPECT_THROW(device->backend().conv_forward(g, x, w, y), UserError);
  const ConvGeometry small{1, 2, 2, 4, 4, 7, 7, 1, 2};
  EXPECT_THROW(device->backend().conv_forward(small, x, w, y), UserError);
}

struct GemmCase {
  std::int64_t m, n, k;
  float alpha, beta;
  bool bias;
  std::int64_t count, gap;  // products, and unused elements behind each row and matrix
};

// Runs one product on the device and compares it with the sum in double; the gaps must stay as they were.
void check_gemm(Device& device, const GemmCase& c, Gemm::Op op_a, Gemm::Op op_b) {
  const auto size = [&](std::int64_t rows, std::int64_t columns) { return rows * (columns + c.gap) + c.gap; };
  const bool plain_a = op_a == Gemm::Op::plain, plain_b = op_b == Gemm::Op::plain;
  const std::int64_t lda = (plain_a ? c.k : c.m) + c.gap, ldb = (plain_b ? c.n : c.k) + c.gap, ldc = c.n + c.gap;
  const std::int64_t stride_a = size(plain_a ? c.m : c.k, plain_a ? c.k : c.m);
  const std::int64_t stride_b = size(plain_b ? c.k : c.n, plain_b ? c.n : c.k), stride_c = size(c.m, c.n);
  const std::vector<float> a = numbers(c.count * stride_a, 1), b = numbers(c.count * stride_b, 2);
  std::vector<float> start = numbers(c.count * stride_c, 3);
  const std::vector<float> bias = numbers(c.n, 4);
  Sums want(c.count * stride_c);
  const auto at = [](const std::vector<float>& v, std::int64_t i) {
    return static_cast<double>(v[static_cast<std::size_t>(i)]);
  };
  for (std::int64_t i = 0; i < c.count * stride_c; ++i) {
    const std::int64_t matrix = i / stride_c, row = i % stride_c / ldc, column = i % stride_c % ldc;
    if (row >= c.m || column >= c.n) {
      want.add(i, at(start, i));
      continue;
    }
    want.add(i, c.beta * at(start, i) + (c.bias ? at(bias, column) : 0));
    for (std::int64_t j = 0; j < c.k; ++j)
      want.add(i, c.alpha * at(a, matrix * stride_a + (plain_a ? row * lda + j : j * lda + row)) *
                      at(b, matrix * stride_b + (plain_b ? j * ldb + column : column * ldb + j)));
    // beta = 0 must not read C.
    if (c.beta == 0) start[static_cast<std::size_t>(i)] = std::nanf("");
  }
  const auto shape = [](const std::vector<float>& v) { return Shape{static_cast<std::int64_t>(v.size())}; };
  const Tensor a_on = Tensor::from_host(device, shape(a), a), b_on = Tensor::from_host(device, shape(b), b);
  const Tensor c_on = Tensor::from_host(device, shape(start), start), bias_on = Tensor::from_host(device, shape(bias), bias);
  const Gemm gemm{.m = c.m,
                  .n = c.n,
                  .k = c.k,
                  .a = a_on.data<float>(),
                  .b = b_on.data<float>(),
                  .c = c_on.data<float>(),
                  .lda = lda,
                  .ldb = ldb,
                  .ldc = ldc,
                  .op_a = op_a,
                  .op_b = op_b,
                  .alpha = c.alpha,
                  .beta = c.beta,
                  .bias = c.bias ? bias_on.data<float>() : nullptr};
  if (c.count == 1)
    device.backend().gemm(gemm);
  else
    device.backend().gemm_strided_batched(gemm, c.count, stride_a, stride_b, stride_c);
  expect_close("c", download(c_on), want, 0);
}

TEST_F(CudaBackend, ProductsMatchTheSum) {
  const GemmCase cases[] = {
      {1, 1, 1, 1, 0, false, 1, 0},   {3, 5, 7, 1, 0, false, 1, 0},        {33, 31, 65, 0.5f, 0, true, 1, 0},
      {17, 130, 3, 1, 1, true, 1, 3}, {64, 64, 64, -1, 0.5f, false, 1, 0}, {2, 300, 19, 1, 0, true, 1, 1},
      {5, 6, 7, 2, 0, false, 4, 1},   {9, 4, 33, 1, 1, false, 3, 0},       {4, 3, 0, 1, 0.5f, true, 1, 0},
      {4, 3, 0, 1, 0, false, 2, 1},   {0, 3, 4, 1, 0, false, 1, 0},        {3, 0, 4, 1, 0, false, 1, 0}};
  for (const GemmCase& c : cases)
    for (const Gemm::Op op_a : {Gemm::Op::plain, Gemm::Op::transposed})
      for (const Gemm::Op op_b : {Gemm::Op::plain, Gemm::Op::transposed}) {
        SCOPED_TRACE(fmt::format("{}x{}x{} count {}", c.m, c.n, c.k, c.count));
        check_gemm(*device, c, op_a, op_b);
      }
}

TEST_F(CudaBackend, ProductsKeepFullFloat32) {
  // 1 + 2^-12 has more bits than TF32 keeps.
  const float value = 1 + 0x1p-12f;
  const Tensor a = Tensor::from_host(*device, {1, 1}, std::vector<float>{value}), c = Tensor::empty(*device, {1, 1});
  device->backend().gemm(
      {.m = 1, .n = 1, .k = 1, .a = a.data<float>(), .b = a.data<float>(), .c = c.data<float>(), .lda = 1, .ldb = 1, .ldc = 1});
  EXPECT_EQ(download(c)[0], value * value);
}

TEST_F(CudaBackend, CopiesAndFills) {
  const std::vector<float> values = numbers(1001, 1);
  const Tensor a = Tensor::from_host(*device, {7, 143}, values), b = a.clone();
  EXPECT_EQ(download(b), values);
  b.rows(2, 5).fill_zero();
  const std::vector<float> got = download(b);
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], i >= 2 * 143 && i < 5 * 143 ? 0 : values[i]);
  EXPECT_EQ(download(Tensor::empty(*device, {0, 3})).size(), 0u);
}

TEST_F(CudaBackend, HostMemoryMayBeReusedAfterACopy) {
  const std::vector<float> values = numbers(5000, 1);
  std::vector<float> pageable = values;
  float* locked = nullptr;
  ASSERT_EQ(cudaMallocHost(reinterpret_cast<void**>(&locked), values.size() * sizeof(float)), cudaSuccess);
  std::copy(values.begin(), values.end(), locked);
  const Tensor a = Tensor::empty(*device, {5000}), b = Tensor::empty(*device, {5000});
  a.copy_from_host(pageable.data());
  b.copy_from_host(locked);
  std::fill(pageable.begin(), pageable.end(), -1.0f);
  std::fill(locked, locked + values.size(), -1.0f);
  EXPECT_EQ(download(a), values);
  EXPECT_EQ(download(b), values);
  EXPECT_EQ(cudaFreeHost(locked), cudaSuccess);
}

TEST_F(CudaBackend, NamesItsVersionsAndMemory) {
  const std::vector<std::string> versions = device->backend().versions();
  EXPECT_EQ(versions.front().substr(0, 6), "cuda:0");
  EXPECT_EQ(device->name(), "cuda:0");
  const MemoryInfo memory = device->backend().memory_info();
  EXPECT_GT(memory.free, 0u);
  EXPECT_LE(memory.free, memory.total);
}

TEST_F(CudaBackend, ReusesMemoryInTheSameOrder) {
  const auto step = [&] {
    const Tensor a = Tensor::empty(*device, {1000}), b = Tensor::empty(*device, {3000});
    return std::make_pair(a.raw(), b.raw());
  };
  const auto first = step();
  const std::size_t reserved = device->pool()->reserved();
  EXPECT_EQ(step(), first);
  EXPECT_EQ(device->pool()->reserved(), reserved);
}

TEST_F(CudaBackend, OutOfMemoryIsADeviceError) {
  const std::int64_t too_many = static_cast<std::int64_t>(device->backend().memory_info().total) / 4 + 1;
  EXPECT_THROW(Tensor::empty(*device, {too_many}), DeviceError);
  EXPECT_EQ(download(Tensor::zeros(*device, {4})), std::vector<float>(4));
}

TEST_F(CudaBackend, AnAbsentDeviceIsNamed) {
  try {
    Device::open("cuda:4711");
    FAIL();
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("cuda:4711"), std::string::npos);
  }
}

TEST_F(CudaBackend, KeepsTheFastestEnginesInAFile) {
  const auto file = std::filesystem::temp_directory_path() / ("swath-engines-" + std::to_string(getpid()) + ".json");
  std::filesystem::remove(file);
  const ConvGeometry geometry{2, 7, 9, 16, 24, 3, 3, 1, 1};
  const auto read = [&] {
    std::ifstream in(file);
    return nlohmann::json::parse(in);
  };
  check_convolution(*Device::open("cuda", {.autotune = file.string()}), geometry);
  nlohmann::json kept = read();
  ASSERT_EQ(kept.size(), 1u);
  const std::string own = kept.begin().key();
  ASSERT_EQ(kept.at(own).size(), 3u) << "one for each pass";
  // What another program has timed for another device stays; an engine that cuDNN does not know is timed anew.
  const std::string name = kept.at(own).begin().key();
  kept[own][name] = "eng_unknown";
  kept["another device"]["a convolution"] = "an engine";
  std::ofstream(file) << kept;
  check_convolution(*Device::open("cuda", {.autotune = file.string()}), geometry);
  EXPECT_EQ(read().at("another device").at("a convolution"), "an engine");
  EXPECT_NE(read().at(own).at(name), "eng_unknown");

  std::ofstream(file) << "[1, 2";
  try {
    Device::open("cuda", {.autotune = file.string()});
    FAIL() << "a broken file was read";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find(file.string() + " is no file of timed engines"), std::string::npos)
        << error.what();
  }
  std::filesystem::remove(file);
}

class CountingAllocator : public Allocator {
 public:
  void* allocate(std::size_t bytes) override {
    void* pointer = nullptr;
    if (cudaMalloc(&pointer, bytes) != cudaSuccess) throw DeviceError("no memory");
    return ++live, pointer;
  }
  void deallocate(void* pointer, std::size_t) noexcept override { cudaFree(pointer), --live; }
  int live = 0;
};

TEST_F(CudaBackend, WorksOnTheApplicationsStreamAndMemory) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  const auto allocator = std::make_shared<CountingAllocator>();
  {
    const auto own = Device::open("cuda", {.allocator = allocator, .stream = stream});
    EXPECT_EQ(own->stream(), stream);
    check_convolution(*own, {2, 5, 5, 8, 8, 3, 3, 1, 1});
    EXPECT_GT(allocator->live, 0);
  }
  EXPECT_EQ(allocator->live, 0);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

}  // namespace
}  // namespace swath
