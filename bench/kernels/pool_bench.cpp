#include "kernels/pool.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

namespace {

std::vector<Axis> image_axes() {
  return {{.name = "images", .values = {32}, .counted = 2, .high = 1 << 16},
          {.name = "size", .values = {7}, .counted = 7, .high = 1 << 12},
          {.name = "channels", .values = {2048}, .counted = 64, .high = 1 << 16},
          bits_axis()};
}

Job average_forward(Arena& arena, const Sizes& sizes) {
  const AveragePoolArgs shape{
      .n = sizes["images"], .positions = sizes["size"] * sizes["size"], .channels = sizes["channels"], .dtype = sizes.dtype()};
  AveragePoolArgs args = shape;
  const std::int64_t in = shape.n * shape.positions * shape.channels, out = shape.n * shape.channels;
  args.x = arena.uniform(in, shape.dtype);
  args.y = arena.output<float>(out);
  return arena.job([args](auto exec) { average_pool(args, exec); });
}

Job average_backward(Arena& arena, const Sizes& sizes) {
  AveragePoolBackwardArgs args{
      .n = sizes["images"], .positions = sizes["size"] * sizes["size"], .channels = sizes["channels"], .dtype = sizes.dtype()};
  const std::int64_t in = args.n * args.positions * args.channels, out = args.n * args.channels;
  args.d_y = arena.uniform(out);
  args.d_x = arena.output(in, args.dtype);
  return arena.job([args](auto exec) { average_pool_backward(args, exec); });
}

}  // namespace

std::vector<Benchmark> pool_benchmarks() {
  return {{"pool.average", "global average pooling", image_axes(), average_forward},
          {"pool.average_backward", "gradient of global average pooling", image_axes(), average_backward}};
}

}  // namespace swath::bench
