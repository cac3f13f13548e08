#include "kernels/pool.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

namespace {

std::vector<Axis> image_axes(std::int64_t size, std::int64_t channels, std::int64_t counted_size) {
  return {{.name = "images", .values = {32}, .counted = 2, .high = 1 << 16},
          {.name = "size", .values = {size}, .counted = counted_size, .high = 1 << 12},
          {.name = "channels", .values = {channels}, .counted = 64, .high = 1 << 16},
          bits_axis()};
}

struct Elements {
  double in, out;  // of all images
  double bytes;    // of one
};

template <class Args>
Args window_args(const Sizes& sizes) {
  Args args;
  args.n = sizes["images"];
  args.height = args.width = sizes["size"];
  args.channels = sizes["channels"];
  args.dtype = sizes.dtype();
  return args;
}

template <class Args>
Elements elements_of(const Args& args) {
  return {static_cast<double>(args.n * args.height * args.width * args.channels),
          static_cast<double>(args.n * args.out_height() * args.out_width() * args.channels),
          static_cast<double>(size_of(args.dtype))};
}

Job max_forward(Arena& arena, const Sizes& sizes) {
  auto args = window_args<MaxPoolArgs>(sizes);
  const Elements count = elements_of(args);
  args.x = arena.uniform(static_cast<std::int64_t>(count.in), args.dtype);
  args.y = arena.output(static_cast<std::int64_t>(count.out), args.dtype);
  args.index = arena.output<std::uint8_t>(static_cast<std::int64_t>(count.out));
  // A window of 9 at each output.
  const Cost cost{count.in * count.bytes + count.out * (count.bytes + 1), 0, count.out * (10 * count.bytes + 1) / 32};
  return arena.job(cost, [args](auto exec) { max_pool(args, exec); });
}

Job max_backward(Arena& arena, const Sizes& sizes) {
  auto args = window_args<MaxPoolBackwardArgs>(sizes);
  const Elements count = elements_of(args);
  args.d_y = arena.uniform(static_cast<std::int64_t>(count.out), args.dtype);
  args.index = arena.output<std::uint8_t>(static_cast<std::int64_t>(count.out));
  args.d_x = arena.output(static_cast<std::int64_t>(count.in), args.dtype);
  // Every output is looked at by the 9 pixels of its window.
  const Cost cost{count.in * count.bytes + count.out * (count.bytes + 1), count.out,
                  (count.in * count.bytes + 9 * count.out * (count.bytes + 1)) / 32};
  return arena.job(cost, [args](auto exec) { max_pool_backward(args, exec); });
}

Job average_forward(Arena& arena, const Sizes& sizes) {
  const AveragePoolArgs shape{
      .n = sizes["images"], .positions = sizes["size"] * sizes["size"], .channels = sizes["channels"], .dtype = sizes.dtype()};
  AveragePoolArgs args = shape;
  const std::int64_t in = shape.n * shape.positions * shape.channels, out = shape.n * shape.channels;
  args.x = arena.uniform(in, shape.dtype);
  args.y = arena.output<float>(out);
  const double bytes = static_cast<double>(in) * static_cast<double>(size_of(shape.dtype)) + 4 * static_cast<double>(out);
  return arena.job(streaming(bytes, static_cast<double>(in)), [args](auto exec) { average_pool(args, exec); });
}

Job average_backward(Arena& arena, const Sizes& sizes) {
  AveragePoolBackwardArgs args{
      .n = sizes["images"], .positions = sizes["size"] * sizes["size"], .channels = sizes["channels"], .dtype = sizes.dtype()};
  const std::int64_t in = args.n * args.positions * args.channels, out = args.n * args.channels;
  args.d_y = arena.uniform(out);
  args.d_x = arena.output(in, args.dtype);
  const double written = static_cast<double>(in) * static_cast<double>(size_of(args.dtype));
  const Cost cost = streaming(written + 4 * static_cast<double>(out), static_cast<double>(in));
  return arena.job(cost, [args](auto exec) { average_pool_backward(args, exec); });
}

}  // namespace

std::vector<Benchmark> pool_benchmarks() {
  return {{"pool.max", "max pooling 3 x 3, stride 2, with the index", image_axes(112, 64, 16), max_forward},
          {"pool.max_backward", "gradient of max pooling", image_axes(112, 64, 16), max_backward},
          {"pool.average", "global average pooling", image_axes(7, 2048, 7), average_forward},
          {"pool.average_backward", "gradient of global average pooling", image_axes(7, 2048, 7), average_backward}};
}

}  // namespace swath::bench
