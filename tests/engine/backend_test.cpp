// The CPU backend's convolutions and matrix products against naive sums in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/device/device.h"
#include "tests/engine/backend_case.h"

namespace swath {
namespace {

using testing::ConvSums;
using testing::numbers;
using testing::Sums;

float round_bf16(float v) { return kernels::to_float(kernels::from_float<kernels::bf16>(v)); }

struct Problem {
  ConvGeometry g;
  std::vector<float> x, w, dy;
};

Problem make_problem(const ConvGeometry& g) {
  Problem p{g, numbers(g.input_shape().numel(), 1), numbers(g.weight_shape().numel(), 2), numbers(g.output_shape().numel(), 3)};
  if (g.dtype == DType::bf16)
    for (auto* values : {&p.x, &p.w, &p.dy}) std::transform(values->begin(), values->end(), values->begin(), round_bf16);
  return p;
}

// Minimal filtering computes a tile of 4×4 results from sums over all of its pixels: an element's rounding error follows the
// largest products near it, however small its own are.
bool may_be_minimal(const ConvGeometry& g) {
  return g.dtype == DType::f32 && g.r == 3 && g.s == 3 && g.stride == 1 && !std::getenv("SWATH_DIRECT_CONV");
}

void expect_close(const std::string& what, const std::vector<float>& got, Sums want, const ConvGeometry& g, DType type) {
  ASSERT_EQ(got.size(), want.value.size());
  if (may_be_minimal(g)) {
    double error = 0, norm = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      error += (got[i] - want.value[i]) * (got[i] - want.value[i]);
      norm += want.value[i] * want.value[i];
    }
    EXPECT_LE(std::sqrt(error), 3e-6 * std::sqrt(norm)) << what;
    const double largest = *std::max_element(want.magnitude.begin(), want.magnitude.end());
    std::fill(want.magnitude.begin(), want.magnitude.end(), largest);
  }
  const double rounding = type == DType::bf16 ? 0x1p-8 : 0;  // of the result; products and sums are float in both cases
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = 4e-6 * want.magnitude[i] + rounding * std::abs(want.value[i]) + 1e-7;
    ASSERT_NEAR(got[i], want.value[i], bound) << what << " at " << i;
  }
}

Tensor upload(Device& device, const Shape& shape, const std::vector<float>& values, DType type) {
  if (type == DType::f32) return Tensor::from_host(device, shape, values);
  std::vector<kernels::bf16> narrow(values.size());
  std::transform(values.begin(), values.end(), narrow.begin(), kernels::from_float<kernels::bf16>);
  return Tensor::from_host(device, shape, narrow);
}

std::vector<float> download(const Tensor& tensor) {
  if (tensor.dtype() == DType::f32) return tensor.to_host<float>();
  std::vector<float> values;
  for (const kernels::bf16 v : tensor.to_host<kernels::bf16>()) values.push_back(kernels::to_float(v));
  return values;
}

bool has_bf16(const Device& device) { return device.backend().versions().front().ends_with(", bf16"); }

void check_convolution(Device& device, const ConvGeometry& g) {
  const Problem p = make_problem(g);
  Backend& backend = device.backend();
  const Tensor x = upload(device, g.input_shape(), p.x, g.dtype), dy = upload(device, g.output_shape(), p.dy, g.dtype);
  const Tensor w = Tensor::from_host(device, g.weight_shape(), p.w);

  const ConvSums want(g, p.x, p.w, p.dy);
  const Tensor y = Tensor::empty(device, g.output_shape(), g.dtype), dx = Tensor::empty(device, g.input_shape(), g.dtype);
  backend.conv_forward(g, x, w, y);
  expect_close("y", download(y), want.y, g, g.dtype);
  backend.conv_backward_data(g, dy, w, dx);
  expect_close("dx", download(dx), want.dx, g, g.dtype);

  const Tensor dw = Tensor::empty(device, g.weight_shape());
  backend.conv_backward_weight(g, x, dy, dw, GradMode::overwrite);
  expect_close("dw", download(dw), want.dw, g, DType::f32);
  const std::vector<float> once = download(dw);
  backend.conv_backward_weight(g, x, dy, dw, GradMode::skip);
  EXPECT_EQ(download(dw), once);
  backend.conv_backward_weight(g, x, dy, dw, GradMode::accumulate);
  const std::vector<float> twice = download(dw);
  for (std::size_t i = 0; i < once.size(); ++i) ASSERT_FLOAT_EQ(twice[i], 2 * once[i]);
}

const std::vector<ConvGeometry> kGeometries = {
    {1, 5, 5, 3, 7, 1, 1, 1, 0},     {2, 6, 5, 16, 16, 1, 1, 1, 0},   {3, 7, 7, 64, 32, 1, 1, 2, 0},
    {2, 7, 9, 16, 24, 3, 3, 1, 1},   {2, 8, 8, 17, 5, 3, 3, 2, 1},    {1, 9, 9, 32, 16, 3, 3, 2, 1},
    {2, 17, 15, 3, 64, 7, 7, 2, 3},  {2, 16, 16, 12, 64, 7, 7, 2, 3}, {1, 13, 13, 13, 9, 5, 3, 2, 2},
    {4, 1, 1, 33, 65, 1, 1, 1, 0},   {1, 2, 2, 16, 16, 3, 3, 1, 1},   {3, 14, 14, 128, 128, 3, 3, 1, 1},
    {2, 15, 1, 4, 130, 3, 1, 2, 1},  {5, 4, 4, 256, 64, 1, 1, 1, 0},  {2, 7, 7, 512, 48, 1, 1, 2, 0},
    {2, 3, 5, 512, 520, 1, 1, 1, 0}, {2, 5, 4, 520, 512, 1, 1, 2, 0}, {1, 1, 1, 32, 48, 3, 3, 1, 1},
    {2, 5, 4, 32, 16, 3, 3, 1, 0},   {1, 13, 17, 48, 80, 3, 3, 1, 1}, {3, 4, 9, 3, 16, 3, 3, 1, 1},
    {2, 6, 6, 16, 32, 3, 3, 1, 2},   {2, 4, 4, 512, 512, 3, 3, 1, 1}, {7, 25, 25, 64, 64, 3, 3, 1, 1},
};

TEST(CpuConvolution, Float32MatchesTheSum) {
  const auto device = Device::open("cpu");
  for (const ConvGeometry& g : kGeometries) {
    SCOPED_TRACE(g.input_shape().str() + " * " + g.weight_shape().str());
    check_convolution(*device, g);
  }
}

TEST(CpuConvolution, Bf16MatchesTheSumOfRoundedNumbers) {
  const auto device = Device::open("cpu");
  for (ConvGeometry g : kGeometries) {
    SCOPED_TRACE(g.input_shape().str() + " * " + g.weight_shape().str());
    g.dtype = DType::bf16;
    if (has_bf16(*device)) {
      check_convolution(*device, g);
    } else {
      const Tensor x = Tensor::zeros(*device, g.input_shape(), g.dtype), y = Tensor::zeros(*device, g.output_shape(), g.dtype);
      EXPECT_THROW(device->backend().conv_forward(g, x, Tensor::zeros(*device, g.weight_shape()), y), UserError);
    }
  }
}

TEST(CpuConvolution, SecondUseOfAGeometryGivesTheSameBits) {
  const auto device = Device::open("cpu");
  const ConvGeometry g{2, 14, 14, 64, 64, 3, 3, 1, 1};
  const Problem p = make_problem(g);
  const Tensor x = upload(*device, g.input_shape(), p.x, g.dtype), dy = upload(*device, g.output_shape(), p.dy, g.dtype);
  const Tensor w = Tensor::from_host(*device, g.weight_shape(), p.w);
  std::vector<std::vector<float>> seen;
  for (int i = 0; i < 2; ++i) {
    const Tensor y = Tensor::empty(*device, g.output_shape()), dw = Tensor::empty(*device, g.weight_shape());
    device->backend().conv_forward(g, x, w, y);
    device->backend().conv_backward_weight(g, x, dy, dw, GradMode::overwrite);
    seen.push_back(download(y));
    seen.push_back(download(dw));
  }
  EXPECT_EQ(seen[0], seen[2]);
  EXPECT_EQ(seen[1], seen[3]);
}

TEST(CpuConvolution, ReturnsItsScratchMemory) {
  const auto device = Device::open("cpu");
  const ConvGeometry g{2, 14, 14, 64, 64, 3, 3, 1, 1};
  const Tensor x = Tensor::zeros(*device, g.input_shape()), y = Tensor::zeros(*device, g.output_shape());
  const Tensor w = Tensor::zeros(*device, g.weight_shape());
  device->backend().conv_forward(g, x, w, y);
  EXPECT_EQ(device->pool()->use(Tag::workspace).current, 0u);
}

TEST(CpuConvolution, EmptyBatchGivesNoOutputAndNoGradient) {
  const auto device = Device::open("cpu");
  const ConvGeometry g{0, 8, 8, 4, 6, 3, 3, 1, 1};
  const Tensor x = Tensor::empty(*device, g.input_shape()), y = Tensor::empty(*device, g.output_shape());
  const Tensor w = Tensor::zeros(*device, g.weight_shape());
  const Tensor dw = Tensor::from_host(*device, g.weight_shape(), numbers(g.weight_shape().numel(), 4));
  device->backend().conv_forward(g, x, w, y);
  device->backend().conv_backward_data(g, y, w, x);
  device->backend().conv_backward_weight(g, x, y, dw, GradMode::accumulate);
  EXPECT_EQ(download(dw), numbers(g.weight_shape().numel(), 4));
  device->backend().conv_backward_weight(g, x, y, dw, GradMode::overwrite);
  EXPECT_EQ(download(dw), std::vector<float>(static_cast<std::size_t>(dw.numel())));
}

TEST(CpuConvolution, RefusesWhatCannotBe) {
  const auto device = Device::open("cpu");
  Backend& backend = device->backend();
  const ConvGeometry small{1, 2, 2, 4, 4, 7, 7, 1, 2};
  EXPECT_THROW(backend.conv_forward(small, Tensor::zeros(*device, small.input_shape()),
                                    Tensor::zeros(*device, small.weight_shape()), Tensor::zeros(*device, {1, 0, 0, 4})),
               UserError);
  ConvGeometry integers{1, 4, 4, 4, 4, 1, 1, 1, 0, DType::u8};
  const Tensor bytes = Tensor::zeros(*device, integers.input_shape(), DType::u8);
  EXPECT_THROW(backend.conv_forward(integers, bytes, Tensor::zeros(*device, integers.weight_shape()), bytes), UserError);
  const ConvGeometry g{1, 4, 4, 4, 4, 1, 1, 1, 0};
  const Tensor x = Tensor::zeros(*device, g.input_shape());
  EXPECT_THROW(backend.conv_forward(g, x, Tensor::zeros(*device, {4, 1, 1, 5}), x), InternalError);
}

struct Product {
  std::int64_t m, n, k;
};

void check_gemm(Device& device, const Product& size, Gemm::Op op_a, Gemm::Op op_b, float beta, bool with_bias) {
  const auto [m, n, k] = size;
  const bool ta = op_a == Gemm::Op::transposed, tb = op_b == Gemm::Op::transposed;
  const std::int64_t lda = (ta ? m : k) + 1, ldb = (tb ? n * 0 + k : n) + 2, ldc = n + 3;
  const std::vector<float> a = numbers((ta ? k : m) * lda, 5), b = numbers((tb ? n : k) * ldb, 6), bias = numbers(n, 7);
  std::vector<float> c = numbers(m * ldc, 8);
  if (beta == 0) std::fill(c.begin(), c.end(), std::numeric_limits<float>::quiet_NaN());
  const std::vector<float> before = c;
  const float alpha = 0.5f;
  device.backend().gemm({.m = m,
                         .n = n,
                         .k = k,
                         .a = a.data(),
                         .b = b.data(),
                         .c = c.data(),
                         .lda = lda,
                         .ldb = ldb,
                         .ldc = ldc,
                         .op_a = op_a,
                         .op_b = op_b,
                         .alpha = alpha,
                         .beta = beta,
                         .bias = with_bias ? bias.data() : nullptr});
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < ldc; ++j) {
      const auto at = static_cast<std::size_t>(i * ldc + j);
      if (j >= n) {
        ASSERT_TRUE(c[at] == before[at] || std::isnan(before[at])) << "column " << j << " is outside the product";
        continue;
      }
      double sum = 0, magnitude = 0;
      for (std::int64_t l = 0; l < k; ++l) {
        const double product = static_cast<double>(a[static_cast<std::size_t>(ta ? l * lda + i : i * lda + l)]) *
                               b[static_cast<std::size_t>(tb ? j * ldb + l : l * ldb + j)];
        sum += product;
        magnitude += std::abs(product);
      }
      const double old = beta == 0 ? 0 : static_cast<double>(beta) * before[at];
      const double want = alpha * sum + old + (with_bias ? bias[static_cast<std::size_t>(j)] : 0);
      ASSERT_NEAR(c[at], want, 4e-6 * (magnitude + std::abs(old) + 1)) << i << ", " << j;
    }
}

TEST(CpuGemm, MatchesTheSumInEveryForm) {
  const auto device = Device::open("cpu");
  for (const Product size : {Product{1, 1, 1}, {3, 5, 7}, {32, 33, 31}, {1, 200, 17}, {130, 1, 64}, {120, 512, 300}, {4, 6, 0}})
    for (const auto op_a : {Gemm::Op::plain, Gemm::Op::transposed})
      for (const auto op_b : {Gemm::Op::plain, Gemm::Op::transposed})
        for (const float beta : {0.0f, 1.0f, -0.25f})
          for (const bool with_bias : {false, true}) {
            SCOPED_TRACE(fmt::format("{}x{}x{} op_a {} op_b {} beta {} bias {}", size.m, size.n, size.k, static_cast<int>(op_a),
                                     static_cast<int>(op_b), beta, with_bias));
            check_gemm(*device, size, op_a, op_b, beta, with_bias);
          }
}

TEST(CpuGemm, EmptyProductsLeaveMemoryAlone) {
  const auto device = Device::open("cpu");
  device->backend().gemm({.m = 0, .n = 4, .k = 4, .lda = 4, .ldb = 4, .ldc = 4});
  device->backend().gemm({.m = 4, .n = 0, .k = 4, .lda = 4, .ldb = 4, .ldc = 4});
}

TEST(CpuGemm, BatchIsTheSameAsOneByOne) {
  const auto device = Device::open("cpu");
  const std::int64_t m = 5, n = 6, k = 7, count = 4;
  const std::vector<float> a = numbers(count * m * k, 9), b = numbers(k * n, 10);
  std::vector<float> together(static_cast<std::size_t>(count * m * n)), alone(together.size());
  Gemm first{.m = m, .n = n, .k = k, .a = a.data(), .b = b.data(), .c = together.data(), .lda = k, .ldb = n, .ldc = n};
  device->backend().gemm_strided_batched(first, count, m * k, 0, m * n);
  first.c = alone.data();
  for (std::int64_t i = 0; i < count; ++i, first.a += m * k, first.c += m * n) device->backend().gemm(first);
  EXPECT_EQ(together, alone);
}

}  // namespace
}  // namespace swath
