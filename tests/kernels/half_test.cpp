// The 16-bit types against the compiler's own float16, and against bfloat16 as the upper half of a float32.
#include "kernels/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace swath::kernels::test {
namespace {

using Native = _Float16;

float native_to_float(std::uint16_t bits) {
  Native h;
  std::memcpy(&h, &bits, sizeof h);
  return static_cast<float>(h);
}

std::uint16_t native_from_float(float v) {
  const auto h = static_cast<Native>(v);
  std::uint16_t bits;
  std::memcpy(&bits, &h, sizeof bits);
  return bits;
}

void expect_native(float v) {
  if (std::isnan(v)) {
    EXPECT_EQ(from_float<f16>(v).bits, 0x7e00u);
  } else {
    ASSERT_EQ(from_float<f16>(v).bits, native_from_float(v)) << v;
  }
}

TEST(Float16, EveryValueBecomesItsFloat32AndBack) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const f16 h{static_cast<std::uint16_t>(bits)};
    const float wide = to_float(h), native = native_to_float(h.bits);
    if (std::isnan(native)) {
      ASSERT_TRUE(std::isnan(wide)) << bits;
      continue;
    }
    ASSERT_EQ(wide, native) << bits;
    ASSERT_EQ(std::signbit(wide), std::signbit(native)) << bits;
    ASSERT_EQ(from_float<f16>(wide).bits, h.bits);
  }
}

TEST(Float16, RoundsToNearestEven) {
  // Around every value: the middle of two neighbours, and the float32 numbers beside it.
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float low = native_to_float(static_cast<std::uint16_t>(bits));
    const float high = bits == 0x7bff ? 65536.0f : native_to_float(static_cast<std::uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;
    for (const float v : {middle, std::nextafter(middle, low), std::nextafter(middle, high), std::nextafter(low, high)}) {
      expect_native(v);
      expect_native(-v);
    }
  }
  std::mt19937 random(5);
  for (int i = 0; i < 1000000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    float v;
    std::memcpy(&v, &bits, sizeof v);
    expect_native(v);
  }
  for (const float v : {0.0f, -0.0f, 65519.99f, 65520.0f, 1e30f, std::numeric_limits<float>::infinity(),
                        -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::denorm_min()})
    expect_native(v);
}

TEST(Bfloat16, EveryValueBecomesItsFloat32AndBack) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const bf16 h{static_cast<std::uint16_t>(bits)};
    const std::uint32_t wide_bits = bits << 16;
    float wide;
    std::memcpy(&wide, &wide_bits, sizeof wide);
    if (std::isnan(wide)) continue;
    ASSERT_EQ(to_float(h), wide);
    ASSERT_EQ(from_float<bf16>(wide).bits, h.bits);
  }
}

}  // namespace
}  // namespace swath::kernels::test
