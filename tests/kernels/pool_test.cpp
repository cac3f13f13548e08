// Average pooling, both ways, against tests/reference/pool.h.
#include "kernels/pool.h"

#include "tests/kernels/element_case.h"
#include "tests/reference/pool.h"

namespace swath::kernels::test {
namespace {

class PoolTest : public KernelTest {};

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
