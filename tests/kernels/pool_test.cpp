// Max and average pooling, both ways, against tests/reference/pool.h.
#include "kernels/pool.h"

#include <limits>

#include "tests/kernels/element_case.h"
#include "tests/reference/pool.h"

namespace swath::kernels::test {
namespace {

using reference::PoolSizes;

class PoolTest : public KernelTest {};

/// Small integers, so that windows hold ties, and every value is exact in bf16.
std::vector<float> tied_values(std::int64_t n) {
  std::vector<float> values;
  for (const std::int32_t v : random_ints(n, 11, 9)) values.push_back(static_cast<float>(v - 4));
  return values;
}

void check_max_pool(Place place, const PoolSizes& z, DType dtype, std::size_t misalign) {
  CaseMemory memory(place);
  const std::vector<float> x = tied_values(z.n * z.height * z.width * z.channels);
  const std::int64_t out = z.n * z.out_height() * z.out_width() * z.channels;
  const auto expected = reference::max_pool(z, to_double(x));
  MaxPoolArgs args{.n = z.n,
                   .height = z.height,
                   .width = z.width,
                   .channels = z.channels,
                   .window = z.window,
                   .stride = z.stride,
                   .pad = z.pad,
                   .dtype = dtype,
                   .x = put_elements(memory, x, dtype, misalign),
                   .y = make_elements(memory, out, dtype, misalign),
                   .index = memory.make_output<std::uint8_t>(out)};
  memory.run([&](auto exec) { max_pool(args, exec); });
  EXPECT_EQ(to_double(get_elements(memory, args.y, out, dtype)), expected.y);
  const std::vector<std::uint8_t> index = memory.get(args.index, out);
  EXPECT_EQ(std::vector<int>(index.begin(), index.end()), expected.tap);

  const std::vector<float> d_y = tied_values(out);
  std::vector<double> d_x(x.size(), 0);
  for (std::size_t i = 0; i < d_y.size(); ++i) d_x[static_cast<std::size_t>(expected.source[i])] += static_cast<double>(d_y[i]);
  MaxPoolBackwardArgs back{.n = z.n,
                           .height = z.height,
                           .width = z.width,
                           .channels = z.channels,
                           .window = z.window,
                           .stride = z.stride,
                           .pad = z.pad,
                           .dtype = dtype,
                           .d_y = put_elements(memory, d_y, dtype, misalign),
                           .index = args.index,
                           .d_x = make_elements(memory, static_cast<std::int64_t>(x.size()), dtype, misalign)};
  memory.run([&](auto exec) { max_pool_backward(back, exec); });
  EXPECT_EQ(to_double(get_elements(memory, back.d_x, static_cast<std::int64_t>(x.size()), dtype)), d_x);
}

TEST_P(PoolTest, MaxPoolBothWays) {
  const std::vector<PoolSizes> sizes = {
      {0, 5, 5, 4},          {1, 1, 1, 1},          {2, 7, 9, 3},           {1, 8, 8, 64},
      {2, 5, 6, 65},         {1, 6, 6, 8, 2, 2, 0}, {1, 9, 7, 12, 3, 1, 1}, {1, 11, 11, 5, 5, 3, 2},
      {1, 7, 7, 4, 2, 3, 0}, {3, 16, 16, 16}};
  for (const PoolSizes& z : sizes)
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
      for (const std::size_t misalign : {0, 1}) {
        SCOPED_TRACE(::testing::Message() << z.n << "x" << z.height << "x" << z.width << "x" << z.channels << " "
                                          << name_of(dtype) << " window " << z.window << " misaligned by " << misalign);
        check_max_pool(GetParam(), z, dtype, misalign);
      }
}

TEST_P(PoolTest, MaxPoolKeepsNan) {
  CaseMemory memory(GetParam());
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  MaxPoolArgs args{.n = 1,
                   .height = 2,
                   .width = 4,
                   .channels = 1,
                   .window = 2,
                   .stride = 2,
                   .pad = 0,
                   .x = memory.put(std::vector<float>{1, nan, -infinity, -infinity, 5, nan, -infinity, -infinity}),
                   .y = memory.make_output<float>(2),
                   .index = memory.make_output<std::uint8_t>(2)};
  memory.run([&](auto exec) { max_pool(args, exec); });
  EXPECT_TRUE(std::isnan(memory.get(static_cast<float*>(args.y), 2)[0]));
  EXPECT_EQ(memory.get(static_cast<float*>(args.y), 2)[1], -infinity);
  EXPECT_EQ(memory.get(args.index, 2), (std::vector<std::uint8_t>{1, 0}));
}

TEST_P(PoolTest, AveragePoolBothWays) {
  struct Size {
    std::int64_t n, positions, channels;
  };
  for (const Size z : {Size{0, 4, 4}, {1, 1, 1}, {2, 49, 2048}, {3, 16, 65}, {2, 33, 12}, {5, 100, 3}, {1, 49, 64}})
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      SCOPED_TRACE(::testing::Message() << z.n << "x" << z.positions << "x" << z.channels << " " << name_of(dtype));
      CaseMemory memory(GetParam());
      const std::vector<float> x = rounded(random_floats(z.n * z.positions * z.channels, 21), dtype);
      AveragePoolArgs args{.n = z.n,
                           .positions = z.positions,
                           .channels = z.channels,
                           .dtype = dtype,
                           .x = put_elements(memory, x, dtype),
                           .y = memory.make_output<float>(z.n * z.channels)};
      memory.run([&](auto exec) { average_pool(args, exec); });
      expect_close(memory.get(args.y, z.n * z.channels), reference::average_pool(z.n, z.positions, z.channels, to_double(x)),
                   reference::average_pool(z.n, z.positions, z.channels, x), 1);

      const std::vector<float> d_y = random_floats(z.n * z.channels, 22);
      AveragePoolBackwardArgs back{.n = z.n,
                                   .positions = z.positions,
                                   .channels = z.channels,
                                   .dtype = dtype,
                                   .d_y = memory.put(d_y),
                                   .d_x = make_elements(memory, z.n * z.positions * z.channels, dtype)};
      memory.run([&](auto exec) { average_pool_backward(back, exec); });
      std::vector<double> d_x(x.size());
      for (std::int64_t i = 0; i < z.n * z.positions * z.channels; ++i)
        d_x[i] = static_cast<double>(d_y[i / z.channels / z.positions * z.channels + i % z.channels]) /
                 static_cast<double>(z.positions);
      expect_elements_close(get_elements(memory, back.d_x, z.n * z.positions * z.channels, dtype), d_x, to_float_vector(d_x),
                            dtype);
    }
}

SWATH_KERNEL_PLACES(PoolTest);

}  // namespace
}  // namespace swath::kernels::test
